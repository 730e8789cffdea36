"""Draw docs/depth.png: active nodes of 10,000 genomes, by random connections and by this project's draw.

usage: python docs/depth.py
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from cgp import Shape, Space, draw

mpl.use("Agg")
import matplotlib.pyplot as plt

DRAWS, NODES, LEVELS_BACK = 10_000, 200, 10


def random_connections(rng: np.random.Generator) -> int:
    """Return the active nodes where each node reads any of the ten before it: the old wiring."""
    node, active = NODES, 0
    while node > 0:
        active += 1
        node = int(rng.integers(max(0, node - LEVELS_BACK), node))
    return active


def main() -> None:
    """Draw both histograms."""
    rng = np.random.default_rng(0)
    space = Space("vgg", 20, 70, Shape(3, 32, 32), 10)
    old = [random_connections(rng) for _ in range(DRAWS)]
    new = [draw(space, rng).graph(space).depth for _ in range(DRAWS)]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), sharex=True, layout="constrained")
    left.hist(old, bins=range(102), color="#b5523b")
    left.set_title(f"random connections, {NODES} nodes: {np.mean(old):.0f} ± {np.std(old):.0f} active")
    right.hist(new, bins=range(102), color="#3b6fb5")
    right.axhline(DRAWS / 51, color="black", linewidth=0.8, linestyle="--")
    right.set_title("this project, depth 20..70: uniform")
    for axes in (left, right):
        axes.set_xlabel("active nodes")
    left.set_ylabel(f"genomes of {DRAWS:,}")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
