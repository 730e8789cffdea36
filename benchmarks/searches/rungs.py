"""python -m benchmarks.searches rungs: by what trainings are best judged at a rung, on the recorded population.

Every network was trained twice. What its one training shows after an epoch is held against how that training ends
(its best validation accuracy) and, as judge without luck in common, against the test accuracy of the other one. What
graphs foretell is learned from the accuracies of some networks after that epoch, and asked about all others. In the
end whole races, of networks in random order, are judged by accuracy alone and as searches are (`Smoothed`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.searches import population
from benchmarks.searches.finding import enough, finding
from benchmarks.searches.table import Row
from cgp import Graph
from populations.search.racing import Rung
from populations.search.rung_scores import FEWEST, RUNG_SCORES
from populations.surrogate import Linear, Seen

LEARNED = (16, 24, 32, 48, FEWEST, 96, 128, 256, 512)  #: networks that are learned from
ASKED = 20  #: networks that must be left to be asked about
SHARES = (0.2, 0.5, 0.7)  #: of what is foretold, in a mean with the accuracy; searches take half
WINDOWS = (8, 30)
Vector = NDArray[np.float64]


class Trainings:
    """One whole training of each recorded network that has two, and how the other one ended."""

    def __init__(self, rows: Sequence[Row], seed: int) -> None:
        """Take the trainings on `seed` of short ones that came to their last epoch."""
        epochs = population.SHORT.epochs
        whole = {
            (row["number"], row["seed"]): row
            for row in rows
            if row["kind"] == "short" and row["status"] == "ok" and len(row["curve"]) == epochs
        }
        numbers = sorted(number for number, one in whole if one == 0 and (number, 1) in whole)
        own = [whole[number, seed] for number in numbers]
        image, classes = list(population.SPACE.image), population.SPACE.classes
        self.graphs = [
            Graph.from_json({"image": image, "classes": classes, "nodes": whole[number, 0]["graph"]})
            for number in numbers
        ]
        self.curves = {
            name: np.array([[point[name] for point in row["curve"]] for row in own])
            for name in ("val_accuracy", "val_loss", "train_loss")
        }
        self.ends = np.array([population.score(row) for row in own])
        self.others = np.array([whole[number, 1 - seed]["test_accuracy"] for number in numbers])

    def __len__(self) -> int:
        """How many networks there are."""
        return len(self.graphs)


def judged(of: Trainings, epoch: int, order: NDArray[np.int64], learned: int) -> dict[str, list[float]]:
    """Return by judge how it ranks after `epoch` all but the first `learned` networks of `order`, which teach.

    These are Spearman correlations: with the end of the same training, and with the test accuracy of the other one.
    """
    accuracies, asked = of.curves["val_accuracy"][:, epoch - 1], order[learned:]
    model = Linear([Seen(of.graphs[place], (accuracies[place],)) for place in order[:learned]])
    own, foretold = accuracies[asked], np.array([model.score(of.graphs[place]) for place in asked])
    judges = {
        "val_accuracy": own,
        "val_loss": -of.curves["val_loss"][asked, epoch - 1],
        "train_loss": -of.curves["train_loss"][asked, epoch - 1],
        "foretold": foretold,
        **{f"mean, {share} foretold": (1 - share) * own + share * foretold for share in SHARES},
    }
    truths = of.ends[asked], of.others[asked]
    return {name: [float(spearmanr(said, truth).statistic) for truth in truths] for name, said in judges.items()}


class Race:
    """A race to one rung, which networks of some recorded ones reach one after another."""

    def __init__(self, graphs: Sequence[Graph], accuracies: Vector, scores: str, window: int) -> None:
        """`accuracies` are those of `graphs` at the rung; each is judged by `scores` among the last `window`."""
        self._graphs, self._accuracies, self._count = graphs, accuracies, 0
        self._rung = Rung(1, window, RUNG_SCORES[scores]())  # a curve begins with what counts here

    def goes_on(self, place: int) -> bool:
        """Return whether the network at `place`, the next to reach the rung, goes on."""
        number, self._count = self._count, self._count + 1
        self._rung.enter(number, self._graphs[place], [{"val_accuracy": float(self._accuracies[place])}])
        return bool(self._rung.verdict(number))


def raced(of: Trainings, epoch: int, order: NDArray[np.int64], scores: str, window: int) -> list[float]:
    """Race the networks in `order` to one rung after `epoch`, and judge each by `scores` among the last `window`.

    Of those from number `FEWEST` on: the share that goes on, their mean test accuracy in the other training, and the
    share of the best third, as that has it, that goes on.
    """
    race = Race(of.graphs, of.curves["val_accuracy"][:, epoch - 1], scores, window)
    goes_on = [race.goes_on(place) for place in order]
    late, worth = np.array(goes_on[FEWEST:]), of.others[order[FEWEST:]]
    best = worth >= np.quantile(of.others, 2 / 3)
    return [float(late.mean()), float(worth[late].mean()), float(late[best].mean())]


def found(rows: Sequence[Row], repeats: int) -> dict[str, Any]:
    """Return the means over `repeats` random orders: by epoch and networks learned from, and of whole races.

    Raises BadInput for too few networks.
    """
    both = [Trainings(rows, seed) for seed in (0, 1)]
    count, epochs = len(both[0]), range(1, population.SHORT.epochs)
    enough(count, LEARNED[0] + ASKED)
    drawn = [(both[n % 2], np.random.default_rng([2029, n]).permutation(count)) for n in range(repeats)]
    ranks = {
        str(epoch): {
            str(learned): _means([judged(of, epoch, order, learned) for of, order in drawn])
            for learned in LEARNED
            if learned <= count - ASKED
        }
        for epoch in epochs
    }
    races = {
        f"epoch {epoch}, window {window}": _means(
            [{name: raced(of, epoch, order, name, window) for name in RUNG_SCORES} for of, order in drawn]
        )
        for epoch in epochs
        for window in WINDOWS
        if count >= FEWEST + ASKED
    }
    return {"networks": count, "repeats": repeats, "spearman": ranks, "races": races}


def _means(repeated: Sequence[dict[str, list[float]]]) -> dict[str, list[float]]:
    return {
        name: [round(float(value), 4) for value in np.mean([one[name] for one in repeated], axis=0)]
        for name in repeated[0]
    }


def show(table: dict[str, Any]) -> None:
    """Print it."""
    print(f"{table['networks']} networks; Spearman correlation with the end of a training / with the other training")
    for epoch, counts in table["spearman"].items():
        for learned, judges in counts.items():
            said = "  ".join(f"{name} {end:.3f}/{other:.3f}" for name, (end, other) in judges.items())
            print(f"epoch {epoch}, learned from {learned:>3}: {said}")
    if table["races"]:
        print(
            f"races, from network {FEWEST} on: share that goes on, its test accuracy, share of the best third in it"
        )
    for name, scores in table["races"].items():
        said = "  ".join(f"{score} {' '.join(f'{mean:.4f}' for mean in means)}" for score, means in scores.items())
        print(f"{name}: {said}")


def main(argv: Sequence[str]) -> int:
    """Judge, show and write; 0: done, 2: bad input."""
    return finding(argv, __doc__, 40, found, show)
