"""Interleaved arms, their samples and their ratio; result files; the table in README.md."""

import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Benchmark:
    """Arms that are run in turn; each call of an arm returns one sample in `unit`."""

    name: str
    what: str  #: one sentence: what is measured
    unit: str
    arms: dict[str, Callable[[], float]]
    ratio: tuple[str, str]  #: arm divided by arm
    repeats: int
    bar: str = ""


def run(benchmark: Benchmark) -> dict[str, Any]:
    """Run all arms in turn, `repeats` times after one uncounted turn, and return the result."""
    samples: dict[str, list[float]] = {name: [] for name in benchmark.arms}
    for repeat in range(benchmark.repeats + 1):
        for name, arm in benchmark.arms.items():
            value = arm()
            if repeat:
                samples[name].append(value)
    above, below = benchmark.ratio
    ratios = [a / b for a, b in zip(samples[above], samples[below], strict=True)]
    return {
        "benchmark": benchmark.name,
        "what": benchmark.what,
        "unit": benchmark.unit,
        "bar": benchmark.bar,
        "arms": samples,
        "ratio": {
            "of": f"{above} / {below}",
            "median": statistics.median(ratios),
            "interval": [min(ratios), max(ratios)],
        },
        "n": benchmark.repeats,
        "hardware": hardware(),
        "versions": {name: version(name) for name in ("torch", "numpy", "deap", "joblib", "pandas")}
        | {"python": platform.python_version()},
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python -m benchmarks " + " ".join(sys.argv[1:]),
    }


def hardware() -> str:
    """Return the processor's model, its bf16 units and the usable cores."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    units = [unit for unit in ("amx_bf16", "avx512_bf16") if unit in text]
    name = model.group(1) if model else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores" + (f", {' '.join(units)}" if units else "")


def show(result: dict[str, Any]) -> None:
    """Print arms with median and spread, and the ratio."""
    print(f"{result['benchmark']}: {result['what']} ({result['hardware']}, n = {result['n']})")
    for name, values in result["arms"].items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"  {name:34} {middle:12.4g} {result['unit']:14} ({low:.4g} .. {high:.4g})")
    ratio = result["ratio"]
    low, high = ratio["interval"]
    print(f"  {ratio['of']}: {ratio['median']:.3g} ({low:.3g} .. {high:.3g})")


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
        "`python -m benchmarks NAME` runs one, `--quick` a short form that writes nothing. The arms of a",
        "benchmark run in turn in one process; this page is made from `results/*.json`, which hold every",
        "sample. Figures are medians with (least .. greatest).",
        "",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text())
        lines += [
            f"## {result['benchmark']}",
            "",
            f"{result['what']}.",
            "",
            "| arm | median | spread |",
            "|---|---|---|",
        ]
        for name, values in result["arms"].items():
            middle = statistics.median(values)
            spread = f"{min(values):.4g} .. {max(values):.4g}"
            lines.append(f"| {name} | {middle:.4g} {result['unit']} | {spread} |")
        ratio, bar = result["ratio"], f" Bar: {result['bar']}." if result["bar"] else ""
        low, high = ratio["interval"]
        lines += [
            "",
            f"{ratio['of']}: **{ratio['median']:.3g}** ({low:.3g} .. {high:.3g}), n = {result['n']}.{bar}",
            f"{result['hardware']}; torch {result['versions']['torch']}; {result['date']}; `{result['command']}`",
            "",
        ]
    return "\n".join(lines)
