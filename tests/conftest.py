"""Fixtures that all tests share."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, sync_playwright

import harness
from benchmarks.browser import CHROMIUM
from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.data.splits import load
from evaluate.job import DataSpec, Job, Train, recipe
from evaluate.pool.executors import ProcessSlot
from evaluate.pool.pool import STOP_SIGNALS

TINY = Graph.chain(["conv_8_3", "maxpool", "conv_8_3"], Shape(1, 8, 8), 10)


# Under `nohup`, or started in the background by a shell, programs that tests start would ignore these.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


#: Files that take long: they begin first, so that the last minute is not that of one file.
LONG = (
    *("test_docs", "test_search", "test_asked", "test_tricks", "test_screened", "test_polish", "test_signals"),
    *("test_executors",),
    *("test_readme", "test_network", "test_benchmarks", "test_dask", "test_executor_contract", "test_screen"),
    *("test_export", "test_drawing", "test_confirmation", "test_python", "test_survival", "test_tracking"),
    *("test_report", "test_watch", "test_goals", "test_nsga2", "test_examples", "test_finetune", "test_predict"),
    *("test_studies", "test_activations", "test_import", "test_grid", "test_makefile", "test_corruptions"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin first, and skip what needs a GPU where torch finds none; pytest counts those."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU: make gpu-check runs it where there is one"))


@pytest.fixture(scope="session", autouse=True)
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep datasets in a folder of this session, not in the user's cache; subprocesses inherit it."""
    root = tmp_path_factory.mktemp("cache")
    load.cache_clear()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root))
        patch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it; tables heed it
        yield root


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Restore the signals after a test: one that calls a `main` in this process leaves those of a program."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search."""
    cwd = tmp_path_factory.mktemp("searched")
    done = harness.program(*harness.TINY, "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "r"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the system."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    """A copy of it, to ask more of."""
    shutil.copytree(searched, tmp_path / "r", symlinks=True)
    return tmp_path / "r"


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """Return a maker of small jobs on digits; keywords beside those named change the recipe."""

    def make(name: str = "model", number: int = 0, graph: Graph = TINY, seed: int = 1, **changes: Any) -> Job:
        folder = tmp_path / name
        folder.mkdir()
        size = changes.pop("train_size", 200)
        changes = {"epochs": 1, "lr": 0.01, "precision": "fp32"} | changes
        stop = str(folder / "stop")
        return Job(
            number,
            name,
            Train(graph, recipe("fast", **changes), DataSpec("digits", train_size=size)),
            seed,
            str(folder),
            stop,
        )

    return make


@pytest.fixture
def ended() -> Iterator[list[ProcessSlot]]:
    """Slots that are stopped when the test ends."""
    slots = list[ProcessSlot]()
    yield slots
    for slot in slots:
        slot.stop()
