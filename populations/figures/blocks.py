"""Which kinds of block stand where in the depth, in a run's winners and in the rest. No torch."""

from collections import Counter
from typing import Any

import pandas as pd

from populations.figures.chosen import Runs, best, joined, scored, spread
from populations.reading.frame import Run

TENTHS = 10
MOST = 500  #: networks of each group that are counted; of more rest, as many, evenly spaced
WINNERS, REST = "winners", "rest"


def table(runs: Runs) -> pd.DataFrame:
    """Return how often each kind of block stands in each tenth of the depth.

    Columns: run, group (`winners`: the most accurate tenth, or `rest`), networks (that were counted of this group),
    tenth (1, at the image, to 10), kind, share (of the networks that have this kind there, 0..1).
    """
    return joined(runs, _of)


def _of(run: Run) -> pd.DataFrame:
    networks = scored(run)
    winners = best(run, min(MOST, -(-len(networks) // 10)))
    rest = spread(networks[~networks["id"].isin(winners["id"])], MOST)
    rows = [row for name, group in ((WINNERS, winners), (REST, rest)) for row in _group(run, name, group)]
    return pd.DataFrame(rows, columns=["group", "networks", "tenth", "kind", "share"])


def _group(run: Run, name: str, networks: pd.DataFrame) -> list[tuple[Any, ...]]:
    chains = [_kinds(graph) for graph in run.graphs(list(networks["id"])).values() if "nodes" in graph]
    counts = Counter((tenth, kind) for chain in chains for tenth, kind in enumerate(_by_tenth(chain), 1))
    return [(name, len(chains), tenth, kind, n / len(chains)) for (tenth, kind), n in sorted(counts.items())]


def _kinds(graph: dict[str, Any]) -> list[str]:
    return [block.partition("_")[0] for block, *_ in graph["nodes"]]


def _by_tenth(kinds: list[str]) -> list[str]:
    """Return the kind in the middle of each tenth."""
    return [kinds[int((tenth + 0.5) / TENTHS * len(kinds))] for tenth in range(TENTHS)]
