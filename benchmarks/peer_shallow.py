"""`peer` where the 2017 way is at home: shallow networks, each of which has to reach what it reaches that way."""

from benchmarks.measure import Benchmark, Kept
from benchmarks.peer import Size, compared

SIZE = Size(depths={"cgp-cnn-conv": (6, 11, 15, 20), "resnet": (8, 12, 16, 19)}, share=0.75)


def benchmark(quick: bool, kept: Kept) -> Benchmark:
    """Return the benchmark, which goes on from `kept`; quick: two networks, one seed, two epochs, 128 images.

    Raises BadInput when MNIST is not where CGP_DATA says.
    """
    what = "mean validation accuracy, and three quarters of the networks to their own"
    return compared("peer_shallow", what, SIZE.quick() if quick else SIZE, kept)
