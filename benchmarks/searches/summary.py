"""python -m benchmarks.searches summary: what the recorded searches say: a table, a file, a picture.

Decided before the first search was run. The curve of a search is the test accuracy of its best network so far, best
by validation, over core-seconds; its area is the curve's mean from the end of the shared start to the budget. The
primary figure is the paired difference in area of `screened`, over seeds: mean, bootstrap interval, Wilcoxon's
signed-rank test, and Holm's correction over the two contrasts that decide: to `random` and to `model-free`.
Beside it: the accuracy of the winners after three long trainings each, how often it is above that of random's winner
(ties count half), and how many uniform draws it takes to get, on average, where a search ended.

Success is claimed only where `screened` is above both, each with a corrected p below .05. The other arms are recorded
afterwards and described on the seeds that they have: the mean difference to `random` and its interval, no test.

To see why: the mean validation accuracy of the networks of each arm, by their place in the search.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from benchmarks.measure import versions
from benchmarks.searches import live
from benchmarks.searches.replayed import expected_best
from benchmarks.searches.table import Row
from cgp import BadInput
from populations.strategies.screened import START

RESULT = Path(__file__).with_name("live.json")
PICTURE = Path(__file__).parents[2] / "docs" / "better-than-random.png"
CONTRASTS = [("screened", other) for other in live.DECIDING if other != "screened"]
LEVEL, RESAMPLES = 0.05, 10_000
#: Places of networks in a search behind its start, by what they are called.
STRETCHES = {
    "25..32": slice(START, 32),
    "33..48": slice(32, 48),
    "49..64": slice(48, 64),
    "later": slice(64, None),
}
Vector = NDArray[np.float64]


def best_so_far(row: Row) -> tuple[Vector, Vector]:
    """Return when, in core-seconds, each network of a search was done, and the test accuracy of the best by then."""
    spent, validated, tested = np.array(row["trained"]).T
    best = [int(np.argmax(validated[: n + 1])) for n in range(len(validated))]
    return spent, tested[best]


def curve(row: Row, places: Vector) -> Vector:
    """Return the test accuracy of the best network at `places`: shares 0..1 of what is spent after the start."""
    spent, best = best_so_far(row)
    begun = spent[START - 1]
    at = np.searchsorted(spent, begun + places * (row["budget"] - begun), side="right") - 1
    return np.asarray(best[np.maximum(at, START - 1)])


def area(row: Row) -> float:
    """Return the mean of a search's curve from the end of the start to the budget."""
    spent, best = best_so_far(row)
    edges = np.minimum([*spent[START - 1 :], row["budget"]], row["budget"])
    return float(np.sum(np.diff(edges) * best[START - 1 :]) / (edges[-1] - edges[0]))


def final(row: Row) -> float:
    """Return the test accuracy, after its short training, of the network that a search ended with."""
    return float(best_so_far(row)[1][-1])


def validated(rows: Sequence[Row]) -> dict[str, float]:
    """Return the mean validation accuracy of the networks of searches, for each stretch that has any."""
    found = {
        name: [score for row in rows for _, score, _ in row["trained"][places]] for name, places in STRETCHES.items()
    }
    return {name: round(fmean(scores), 5) for name, scores in found.items() if scores}


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for as many tests (Holm 1979)."""
    order, corrected, so_far = np.argsort(values), np.zeros(len(values)), 0.0
    for rank, place in enumerate(order):
        so_far = max(so_far, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = so_far
    return corrected.tolist()


def paired(differences: Vector) -> dict[str, Any]:
    """Return mean, 95 % bootstrap interval over seeds and standard deviation of paired differences."""
    rng = np.random.default_rng(0)
    means = rng.choice(differences, (RESAMPLES, len(differences))).mean(1)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    return {
        "mean": round(float(differences.mean()), 5),
        "interval": [round(float(low), 5), round(float(high), 5)],
        "sd": round(float(differences.std(ddof=1)), 5),
    }


def draws_needed(random: Sequence[Row], accuracy: float) -> int | None:
    """Return how many uniform draws it takes to expect `accuracy` of the best by validation.

    None: more than half of the draws that the searches of `random` made, over which the expectation is exact.
    """
    drawn = np.array([network for row in random for network in row["trained"][START:]])
    for count in range(1, len(drawn) // 2):
        if expected_best(drawn[:, 1], drawn[:, 2], count) >= accuracy:
            return count
    return None


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the searches say of those seeds of which every arm that decides is there.

    Another arm is described on those of these seeds that it has, if they are two. Raises BadInput below two seeds.
    """
    found = {(row["arm"], row["seed"]): row for row in rows if row["arm"] != "start"}
    seeds = sorted({seed for _, seed in found if all((arm, seed) in found for arm in live.DECIDING)})
    if len(seeds) < 2:
        raise BadInput(
            f"{live.TABLE}: {len(seeds)} seeds with every arm that decides; expected at least 2: record more by "
            "python -m benchmarks.searches live"
        )
    by_arm = {arm: [found[arm, seed] for seed in seeds if (arm, seed) in found] for arm in live.ARMS}
    contrasts = dict[str, dict[str, Any]]()
    for arm, other in CONTRASTS:
        one, two = _areas(by_arm[arm]), _areas(by_arm[other])
        judged = paired(_judged(by_arm[arm]) - _judged(by_arm[other]))
        contrasts[f"{arm} - {other}"] = paired(one - two) | {"p": float(wilcoxon(one, two).pvalue), "judged": judged}
    for contrast, p in zip(contrasts.values(), holm([one["p"] for one in contrasts.values()]), strict=True):
        contrast["p"], contrast["p, corrected"] = round(contrast["p"], 6), round(p, 6)
    success = all(one["mean"] > 0 and one["p, corrected"] < LEVEL for one in contrasts.values())
    arms = {
        arm: _of_arm(own, [found["random", row["seed"]] for row in own], by_arm["random"])
        for arm, own in by_arm.items()
        if len(own) > 1
    }
    hardware = sorted({row["hardware"] for own in by_arm.values() for row in own})
    return {"seeds": seeds, "arms": arms, "contrasts": contrasts, "success": success, "hardware": hardware}


def _areas(rows: Sequence[Row]) -> Vector:
    return np.array([area(row) for row in rows])


def _judged(rows: Sequence[Row]) -> Vector:
    return np.array([fmean(row["judged"]) for row in rows])


def _of_arm(own: Sequence[Row], random: Sequence[Row], drawn: Sequence[Row]) -> dict[str, Any]:
    """Return what is said of an arm: `random` are searches of the same seeds, `drawn` all whose draws count."""
    areas, judged = _areas(own), _judged(own)
    ahead, ended = judged - _judged(random), fmean(final(row) for row in own)
    networks, needed = fmean(len(row["trained"]) for row in own), draws_needed(drawn, ended)
    return {
        "seeds": len(own),
        "area": round(float(areas.mean()), 5),
        "area less that of random": paired(areas - _areas(random)),
        "final": round(ended, 5),
        "judged": round(float(judged.mean()), 5),
        "judged sd": round(float(judged.std(ddof=1)), 5),
        "P(win)": round(float(np.mean((ahead > 0) + 0.5 * (ahead == 0))), 3),
        "networks": round(networks, 1),
        "uniform draws for the same": needed,
        "times as many": needed and round(needed / networks, 2),
        "validated": validated(own),
    }


def show(found: dict[str, Any]) -> None:
    """Print the summary."""
    print(f"{len(found['seeds'])} seeds; {'; '.join(found['hardware'])}")
    for name, arm in found["arms"].items():
        print(f"{name:15}" + "  ".join(f"{key} {value}" for key, value in arm.items()))
    for name, one in found["contrasts"].items():
        low, high = one["interval"]
        print(
            f"{name:25} area {one['mean']:+.4f} ({low:+.4f} .. {high:+.4f}), p {one['p']:.4f}, corrected "
            f"{one['p, corrected']:.4f}; judged {one['judged']['mean']:+.4f} "
            f"({one['judged']['interval'][0]:+.4f} .. {one['judged']['interval'][1]:+.4f})"
        )
    print("success:", "yes" if found["success"] else "no")


def picture(rows: Sequence[Row], seeds: Sequence[int], arms: Iterable[str], path: Path) -> None:
    """Draw the mean curve of each arm, with its standard error over seeds."""
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.use("Agg")
    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    places = np.linspace(0, 1, 101)
    styles = ("-", "-", "--", ":", "-.")
    for arm, style in zip(arms, styles, strict=False):
        found = np.array([curve(row, places) for row in rows if row["arm"] == arm and row["seed"] in seeds])
        mean, error = found.mean(0), found.std(0, ddof=1) / np.sqrt(len(found))
        (line,) = axes.plot(places, mean, label=arm, linestyle=style, linewidth=2 if arm == "screened" else 1.2)
        if arm in ("random", "screened"):
            axes.fill_between(places, mean - error, mean + error, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel="share of the budget after the shared start", ylabel="test accuracy of the best so far")
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main(argv: Sequence[str]) -> int:
    """Show what the recorded searches say, write it and draw the arms that are whole; 0: done, 2: bad input."""
    try:
        rows = live.rows()
        found = summary(rows)
    except BadInput as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    show(found)
    RESULT.write_text(json.dumps({"benchmark": "live", **found, "versions": versions()}, indent=1) + "\n")
    whole = [arm for arm, about in found["arms"].items() if about["seeds"] == len(found["seeds"])]
    picture(rows, found["seeds"], whole, PICTURE)
    return 0
