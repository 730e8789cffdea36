"""Making a run folder, and the notes in it that say what was asked and with what it ran."""

import json
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from cgp.errors import BadInput
from evaluate.files import write_atomically
from populations.run_folder.lock import Lock

_PACKAGES = ("torch", "torchvision", "numpy", "deap", "joblib", "pandas", "safetensors")


def next_run(parent: Path, dataset: str) -> Path:
    """Return the first of `parent`/DATASET-1, -2, ... that does not exist."""
    name = re.sub(r"\W+", "-", Path(dataset.removeprefix("folder:")).name or "folder")
    return next(path for n in count(1) if not (path := parent / f"{name}-{n}").exists())


def create_next_run(parent: Path, dataset: str, config: dict[str, Any]) -> Lock:
    """Make the first of `parent`/DATASET-1, -2, ... that no other search has made; see `create_run`."""
    while True:
        folder = next_run(parent, dataset)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # the other takes this number
            continue
        except OSError as error:
            raise _unwritable(folder, error) from error
        return create_run(folder, config)


def create_run(folder: Path, config: dict[str, Any]) -> Lock:
    """Make `folder` with its `config.json`; return its lock, which is held from before anything is written.

    Raises BadInput where it exists already or cannot be made; what exists is left as it is.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"--run {str(folder)!r}: has bytes that are no UTF-8; name another folder") from error
    lock = None
    try:
        _refuse_used(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder)
        _refuse_used(folder)  # another search may have begun and ended here since
        write_json(folder / "config.json", config)
    except (OSError, BadInput) as error:
        if lock:
            lock.release()
        raise _unwritable(folder, error) if isinstance(error, OSError) else error from error
    return lock


def _refuse_used(folder: Path) -> None:
    """Raise BadInput where `folder` exists and holds more than the lock of a search that died before it began."""
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {"lock"}):
        raise BadInput(f"--run {folder}: exists already; go on with it by --resume {folder}, or name another folder")


def _unwritable(folder: Path, error: OSError) -> BadInput:
    return BadInput(f"--run {folder}: cannot be written ({error.strerror}); name a folder that you may write to")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run folder. Raises BadInput, naming it, where it cannot be."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); expected a run folder of evolve.py") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path}: holds a {type(value).__name__}; expected an object, as evolve.py writes it")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def note_session(folder: Path, seed: int, workers: list[dict[str, Any]], probe: dict[str, float]) -> None:
    """Add this session (versions, devices, git revision, seed, command) to `environment.json`.

    `probe` holds the milliseconds by which `--precision auto` chose; empty where it had no choice.
    """
    path = folder / "environment.json"
    sessions = json.loads(path.read_text())["sessions"] if path.exists() else []
    session = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "revision": _revision(),
        "seed": seed,
        "workers": [{k: v for k, v in worker.items() if k != "pid"} for worker in workers],
        "precision_milliseconds": probe,
    }
    write_json(path, {"sessions": [*sessions, session]})


def _revision() -> str | None:
    """Return the git revision of this program, with `+` where files differ from it."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    try:
        found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None
