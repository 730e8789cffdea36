"""Names of files and of the cache, and writing so that a reader sees all or nothing. No torch."""

import os
import tempfile
from pathlib import Path

BEST, LAST = "best.safetensors", "last.safetensors"


def cache_root() -> Path:
    """Return the user's folder for datasets and probes; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cgp-evolve"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to a neighbour of `path`, then move it there: a reader sees all or nothing."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
