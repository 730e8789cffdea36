"""Use a network that `export` wrote where nothing of ours is installed: copy this file beside its model.py.

python elsewhere.py IMAGE ...
"""

import sys

from model import CLASSES, INPUT, load, predict, prepare  # type: ignore[import-not-found]

network = load()
print(f"reads {INPUT[1]} x {INPUT[2]} pixels, tells apart {len(CLASSES)} classes")
for path in sys.argv[1:]:
    name, probability = next(iter(predict(path).items()))
    logits = network(prepare(path)[None])[0].tolist()
    print(f"{path}: {name} ({probability:.3f}), logits {[round(logit, 2) for logit in logits]}")
