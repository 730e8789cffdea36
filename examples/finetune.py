"""Fine-tune the best network of a run on one's own images: `python examples/finetune.py RUN FOLDER`.

FOLDER has a folder of images for each class.
"""

import sys
from pathlib import Path

import evolve
import populations

source, folder = populations.load(sys.argv[1]), Path(sys.argv[2])
model = source.model("best")
weights, side = model.folder / "best.safetensors", model.model.image.height

for mode in ("finetune", "from-scratch"):
    run = evolve.run(
        weights=weights,
        mode=mode,
        dataset=f"folder:{folder}",
        image_size=side,
        epochs=5,
        run=f"runs/{folder.name}-{mode}",
    )
    print(f"{mode}: val_accuracy {run.models['val_accuracy'].max():.4f} in {run.folder}")
