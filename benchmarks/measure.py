"""Interleaved arms, their samples and their ratios; result files; the tables in README.md."""

import json
import os
import platform
import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaluate.files import write_atomically

RESULTS = Path(__file__).parent / "results"

Samples = dict[str, list[float]]  # every sample of every arm; equal positions were measured in the same turn


@dataclass(frozen=True)
class Benchmark:
    """What is measured, in which unit, and how its samples are taken."""

    name: str
    what: str  #: one sentence: what is measured
    unit: str
    samples: Callable[[], Samples]  #: runs the arms in turn
    ratios: tuple[tuple[str, str], ...]  #: arm divided by arm; the first is the headline
    bar: str = ""
    notes: dict[str, Any] = field(default_factory=dict)  #: JSON-able; `samples` may add to it


class Kept:
    """What a benchmark has found so far, in a file: where it was killed, a later call goes on from there."""

    def __init__(self, path: Path | None = None) -> None:
        """Use the file at `path`, unless it is of another machine or other libraries; without a path, forget."""
        self._path, self._on = path, {"hardware": hardware(), "versions": versions()} if path else {}
        known = json.loads(path.read_text()) if path and path.exists() else {}
        self._found: dict[str, Any] = known.get("found", {}) if known.get("on") == self._on else {}

    def found(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return what was found under `name` before, or what `measure` returns now, a JSON-able value."""
        if name not in self._found:
            self._found[name] = measure()
            if self._path:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                content = json.dumps({"on": self._on, "found": self._found}, indent=1)
                write_atomically(self._path, content.encode())
        return self._found[name]


def in_turn(
    arms: Mapping[str, Callable[[], float]], repeats: int, warm_up: bool = True, kept: Kept | None = None
) -> Samples:
    """Run all arms in turn, `repeats` times, after one uncounted turn where `warm_up`; `kept` holds whole turns."""
    kept, warm = kept or Kept(), not warm_up

    def turn() -> dict[str, float]:
        nonlocal warm
        if not warm:
            for arm in arms.values():
                arm()
        warm = True
        return {name: arm() for name, arm in arms.items()}

    turns = [kept.found(f"turn {n} of {', '.join(arms)}", turn) for n in range(repeats)]
    return {name: [found[name] for found in turns] for name in arms}


def run(benchmark: Benchmark) -> dict[str, Any]:
    """Take the samples of `benchmark` and return the result, a JSON-able value."""
    samples = benchmark.samples()
    ratios = [_ratio(samples, above, below) for above, below in benchmark.ratios]
    return {
        "benchmark": benchmark.name,
        "what": benchmark.what,
        "unit": benchmark.unit,
        "bar": benchmark.bar,
        "arms": samples,
        "ratio": ratios[0],
        "more_ratios": ratios[1:],
        "n": len(next(iter(samples.values()))),
        "notes": benchmark.notes,
        "hardware": hardware(),
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks {benchmark.name}",
    }


def _ratio(samples: Samples, above: str, below: str) -> dict[str, Any]:
    """Median, least and greatest of the ratios of samples of the same turn."""
    ratios = [a / b for a, b in zip(samples[above], samples[below], strict=True)]
    interval = [min(ratios), max(ratios)]
    return {"of": f"{above} / {below}", "median": statistics.median(ratios), "interval": interval}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide how fast we are."""
    libraries = {name: version(name) for name in ("torch", "numpy", "deap", "joblib", "pandas")}
    return libraries | {"python": platform.python_version()}


def hardware() -> str:
    """Return the processor's model, the usable cores, its bf16 units, and the GPU where there is one."""
    import torch  # takes seconds, which help does not wait for

    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    units = [unit for unit in ("amx_bf16", "avx512_bf16") if unit in text]
    name = model.group(1) if model else platform.processor() or platform.machine()
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return ", ".join([name, f"{os.cpu_count()} cores", *([" ".join(units)] if units else []), *gpu])


def show(result: dict[str, Any]) -> None:
    """Print arms with median and spread, the ratios, and what was noted."""
    print(f"{result['benchmark']}: {result['what']} ({result['hardware']}, n = {result['n']})")
    for name, values in result["arms"].items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"  {name:34} {middle:12.4g} {result['unit']:14} ({low:.4g} .. {high:.4g})")
    for ratio in [result["ratio"], *result["more_ratios"]]:
        low, high = ratio["interval"]
        print(f"  {ratio['of']}: {ratio['median']:.3g} ({low:.3g} .. {high:.3g})")
    for name, value in short_notes(result).items():
        print(f"  {name}: {value}")


def short_notes(result: dict[str, Any]) -> dict[str, Any]:
    """Return the notes that fit into a line each: numbers and words, no lists or tables."""
    return {name: note for name, note in result.get("notes", {}).items() if not isinstance(note, list | dict)}


def write(result: dict[str, Any]) -> Path:
    """Write the result file and renew README.md; return the file's path."""
    place = re.sub(r"\W+", "-", result["hardware"]).strip("-").lower()
    path = RESULTS / f"{result['benchmark']}-{place}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS.parent / "README.md").write_text(readme())
    return path


def readme() -> str:
    """Return README.md as the result files tell it."""
    lines = [
        "# Benchmarks",
        "",
        "`python -m benchmarks NAME` runs one, `--quick` a short form that writes nothing. Three want images by",
        "`--data-dir DIR` or the environment's CGP_DATA: `peer` and `peer_shallow` torchvision's MNIST files,",
        "`ranking` CIFAR-10 in class folders (train/CLASS, test/CLASS). The arms of a benchmark run in turn in one",
        "process; this page is made from `results/*.json`, which hold every sample. Figures are medians with",
        "(least .. greatest); a ratio is taken turn by turn.",
        "",
        "Whether a search beats drawing at random is asked by `python -m benchmarks.searches`, whose figures and",
        "commands are in [docs/better-than-random.md](../docs/better-than-random.md).",
        "",
        "With `--keep FOLDER`, `peer`, `peer_shallow`, `scaling` and `trainer` keep there what they have measured",
        "so far, and go on where they were killed. `make gpu-check`, on a machine with a GPU, does that: it runs",
        "the tests that need one, `trainer`, `scaling`, `peer`, a search on CIFAR-10, and a replay of its best",
        "network. Each part ends within ten minutes and goes on at the next call; `gpu-check/PART.json` says what",
        "came of it, and a part that has this file is done. `make gpu-check ARGS='--cifar10 DIR --mnist DIR search'`",
        "names images, and parts.",
        "",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        lines += _section(json.loads(path.read_text()))
    return "\n".join(lines)


def _section(result: dict[str, Any]) -> list[str]:
    """Return the lines of README.md about one result."""
    lines = [f"## {result['benchmark']}", "", f"{result['what']}.", "", "| arm | median | spread |", "|---|---|---|"]
    for name, values in result["arms"].items():
        spread = f"{min(values):.4g} .. {max(values):.4g}"
        lines.append(f"| {name} | {statistics.median(values):.4g} {result['unit']} | {spread} |")
    lines.append("")
    for ratio in [result["ratio"], *result.get("more_ratios", [])]:
        low, high = ratio["interval"]
        lines.append(f"- {ratio['of']}: **{ratio['median']:.3g}** ({low:.3g} .. {high:.3g})")
    lines += [f"- {name}: {note}" for name, note in short_notes(result).items()]
    bar = f" Bar: {result['bar']}." if result["bar"] else ""
    about = (result["hardware"], f"torch {result['versions']['torch']}", result["date"], f"`{result['command']}`")
    return [*lines, "", f"n = {result['n']}.{bar}", "; ".join(about), ""]
