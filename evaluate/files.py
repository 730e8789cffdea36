"""Names of files and of the cache, and writing so that a reader sees all or nothing. No torch."""

import os
from collections.abc import Iterable
from pathlib import Path

BEST, LAST = "best.safetensors", "last.safetensors"  # in the folder of a model
_EPOCH = "epoch-"  # before the number of an epoch whose weights are kept, too
ACTIVATIONS = "activations.npz"  # beside them, where a training was asked to record that
START = "start.safetensors"  # in that of a run: what its networks begin with
WHITENING = "whitening.npy"  # in that of a run whose images are whitened
_DRAFT = ".draft-"  # in the name of a file that is being written


def cache_root() -> Path:
    """Return the user's folder for datasets and probes; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cgp-evolve"


def epoch_file(epoch: int) -> str:
    """Return the name of the file that keeps the weights of an epoch in the folder of a model; 0: the beginning."""
    return f"{_EPOCH}{epoch:04}.safetensors"


def kept_epochs(folder: Path) -> dict[int, Path]:
    """Return the weights that are kept of epochs in the folder of a model, by epoch, in order."""
    found = {path.stem.removeprefix(_EPOCH): path for path in folder.glob(f"{_EPOCH}*.safetensors")}
    return {int(number): found[number] for number in sorted(filter(str.isdecimal, found), key=int)}


def write_atomically(path: Path, content: bytes | Iterable[bytes | memoryview], durable: bool = True) -> None:
    """Write `content` to a neighbour of `path`, then move it there: a reader sees all or nothing.

    Content in parts is written as they come, so that each can be made when the one before is written.
    Where it is not `durable`, a power cut soon afterwards may take it; `sync` makes up for that later.
    """
    draft = draft_of(path)
    try:
        with draft.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def draft_of(path: Path) -> Path:
    """Return where this process writes what is to be at `path`."""
    return path.with_name(f".{path.name}{_DRAFT}{os.getpid()}")


def discard_drafts(folder: Path) -> None:
    """Remove what writers left in `folder` that were killed; nobody may be writing there."""
    for draft in folder.glob(f".*{_DRAFT}*"):
        draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Return when the disk holds what the file at `path` holds."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
