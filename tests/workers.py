"""What tests let worker processes be, instead of `evaluate.worker.serve`."""

import contextlib
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from evaluate.devices import place
from evaluate.worker import serve


def serve_late(*arguments: Any) -> None:
    """Be a worker that needs a second to start."""
    time.sleep(1)
    serve(*arguments)


def serve_never(*_: object) -> None:
    """Hang, as a worker does whose device does not answer."""
    time.sleep(600)


def serve_so_often(folder: Path, count: int, pipe: "Connection[Any, Any]", *arguments: Any) -> None:
    """Be a worker the first `count` times; then fail as on a GPU that fell off the bus."""
    for n in range(count):
        with contextlib.suppress(FileExistsError):
            (folder / f"start-{n}").mkdir()
            serve(pipe, *arguments)
            return
    pipe.send(RuntimeError("CUDA error: no device"))


def serve_then_hang(folder: Path, pipe: "Connection[Any, Any]", *arguments: Any) -> None:
    """Be a worker the first time; then hang."""
    try:
        (folder / "start").mkdir()
    except FileExistsError:
        time.sleep(600)
    serve(pipe, *arguments)


def serve_on_cpu(pipe: "Connection[Any, Any]", kind: str, visible: str | None) -> None:
    """Be a worker on the CPU in the place of one on a GPU."""
    assert kind == "cuda"
    serve(pipe, "cpu", visible)


def serve_as_torch_does(*arguments: Any) -> None:
    """Be a worker that leaves freed memory to what the system's allocator does with it."""
    vars(place)["keep_freed_memory"] = lambda: None
    serve(*arguments)


def serve_with_cache(folder: Path, fault: str | None, pipe: "Connection[Any, Any]", *arguments: Any) -> None:
    """Be a worker that has used a GPU; note in `folder` when its cache is given back, or raise `fault`."""

    def empty() -> None:
        if fault:
            raise torch.AcceleratorError(fault)
        (folder / f"emptied-{len(list(folder.iterdir()))}").touch()

    vars(torch.cuda).update(is_initialized=lambda: True, empty_cache=empty)
    serve(pipe, *arguments)
