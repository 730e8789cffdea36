"""Who lives and who breeds: `ask(n)` -> candidates, `tell(record)`.

To add a strategy: write it in a file of its own and enter it in `STRATEGIES`.
"""

from cgp.errors import BadInput, did_you_mean
from populations.strategies.aging import Aging
from populations.strategies.breeding import Settings, Strategy
from populations.strategies.confirmation import Confirmation
from populations.strategies.final_ranking import FinalRanking
from populations.strategies.mu_plus_lambda import MuPlusLambda
from populations.strategies.nsga2 import NSGA2
from populations.strategies.one_plus_lambda import OnePlusLambda
from populations.strategies.random_search import RandomSearch
from populations.strategies.screened import Screened
from populations.strategies.sweep import Sweep

STRATEGIES: dict[str, type[Strategy]] = {
    "mu-plus-lambda": MuPlusLambda,
    "one-plus-lambda": OnePlusLambda,
    "nsga2": NSGA2,
    "aging": Aging,
    "random": RandomSearch,
    "screened": Screened,
}

AUTO = "auto"  #: in place of a name: what `usual` says

__all__ = [
    "AUTO",
    "STRATEGIES",
    "Confirmation",
    "FinalRanking",
    "Settings",
    "Strategy",
    "Sweep",
    "strategy",
    "strategy_class",
    "usual",
]


def usual(population: int | None) -> str:
    """Return the name of the strategy of a search that names none, for its `population`; None: as many as usual.

    It is the one that is proven to be better than drawing at random (docs/better-than-random.md), where there are
    networks enough to learn from.
    """
    return "screened" if population is None or population >= Screened.fewest else "mu-plus-lambda"


def strategy_class(name: str) -> type[Strategy]:
    """Return the class of the named strategy. Raises BadInput for an unknown name."""
    if name not in STRATEGIES:
        known = [AUTO, *STRATEGIES]
        raise BadInput(f"--strategy: unknown {name!r}{did_you_mean(name, known)}; one of {', '.join(known)}")
    return STRATEGIES[name]


def strategy(name: str, settings: Settings) -> Strategy:
    """Return the named strategy. Raises BadInput for an unknown name."""
    return strategy_class(name)(settings)
