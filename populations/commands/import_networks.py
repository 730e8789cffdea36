"""The command `import`: networks of another program become a run, in which nothing has been trained. No torch."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from cgp.errors import BadInput, did_you_mean
from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.data.datasets import dataset
from evaluate.job import IMPORTED
from populations.importing.cgp_cnn import Source, read
from populations.record import Candidate
from populations.run_folder.folder import create_run, note_session
from populations.run_folder.store import Plan, Store
from populations.setup.config import Config, absolute
from populations.setup.flags import Flags, grouped
from populations.setup.recorded import FINGERPRINT, IMPORTED_FROM
from populations.terminal.programs import populations_command

FORMATS = ("cgp-cnn",)


def import_networks(arguments: argparse.Namespace) -> int:
    """Read a file of networks, make a run of them and say where it is; 0: done."""
    if arguments.format not in FORMATS:
        hint = did_you_mean(arguments.format, FORMATS)
        raise BadInput(f"--format: unknown {arguments.format!r}{hint}; one of {', '.join(FORMATS)}")
    out: Path = arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"--out {out}: exists already; name another folder")
    networks = read(arguments.file, _source(arguments))
    config = _config(arguments)
    dataset(config.data())
    _write(out, config, networks, arguments.format)
    count = f"{len(networks)} network{'s' * (len(networks) != 1)}"
    print(f"{count} in {out}, see: {populations_command()} show {out}")
    return 0


def _source(arguments: argparse.Namespace) -> Source:
    sizes = arguments.image.split(",")
    if len(sizes) != 3 or not all(size.isascii() and size.isdecimal() and int(size[:6]) > 0 for size in sizes):
        raise BadInput(f"--image: {arguments.image!r}; expected CHANNELS,HEIGHT,WIDTH such as 3,32,32")
    for name in ("classes", "rows", "columns"):
        if (value := getattr(arguments, name)) < 1:
            raise BadInput(f"--{name}: {value}; expected at least 1")
    source = Source(Shape(*map(int, sizes)), arguments.classes, arguments.rows, arguments.columns)
    types = arguments.types
    return source if types is None else dataclasses.replace(source, types=tuple(types.split(",")))


def _config(arguments: argparse.Namespace) -> Config:
    given = {"dataset": arguments.dataset, "data_dir": arguments.data_dir, "recipe": "peer"}
    given |= {"head": "flatten", "function_set": "cgp-cnn-conv", "wiring": "grid"}
    given |= {"rows": arguments.rows, "columns": arguments.columns, "num_min_depth": arguments.columns}
    given |= {"num_max_depth": arguments.columns, "run": str(arguments.out), "max_flops": 0, "racing": False}
    given |= {"strategy": "one-plus-lambda"}  # by which such networks are bred
    return Config(**grouped(Flags().values | absolute(given)))


def _write(out: Path, config: Config, networks: list[Graph], form: str) -> None:
    recorded: dict[str, Any] = config.resolved(config.recipe()) | {FINGERPRINT: None, IMPORTED_FROM: form}
    first = networks[0]
    plan = Plan(
        config.space_for(first.image, first.classes),
        config.recipe(),
        config.data(),
        config.evolution.seed,
        cache=False,
        keep="all",
        networks=form,
    )
    store = Store(out, plan, create_run(out, recorded))
    try:
        store.enter(Candidate(n, 0, None, None, graph, stage=IMPORTED) for n, graph in enumerate(networks))
        note_session(out, plan.seed, [], {})
    finally:
        store.end()
