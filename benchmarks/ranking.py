"""What `recipe` asks, on images that are hard enough to tell networks apart: small CIFAR-10 photographs."""

from benchmarks import photographs
from benchmarks.measure import Benchmark
from benchmarks.recipe import ARMS, FAST, LONG, OTHER, Field
from evaluate.job import DataSpec, recipe

TRAIN, SIDE, EPOCHS = 1500, 16, 12
SHORT = (FAST, "fast, He initialisation", "1 epoch to rate zero")


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: three networks instead of forty. Raises BadInput without the photographs."""
    spec = DataSpec(f"folder:{photographs.folder()}", train_size=TRAIN, image_size=SIDE)
    long = recipe("retrain", epochs=EPOCHS, batch_size=32, lr=0.03, init="dirac")
    arms = {LONG: (long, 0), OTHER: (long, 1)} | {name: ARMS[name] for name in SHORT}
    images = f"{TRAIN:,} images of CIFAR-10 (JPEG) at {SIDE}x{SIDE}, validated on 1,000 others"
    return Field(spec, arms, flops_per_node=1_250_000, validation=5).benchmark("ranking", images, quick)
