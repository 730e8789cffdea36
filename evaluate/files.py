"""Names of files and of the cache, and writing so that a reader sees all or nothing. No torch."""

import os
import tempfile
from pathlib import Path

BEST, LAST = "best.safetensors", "last.safetensors"


def cache_root() -> Path:
    """Return the user's folder for datasets and probes; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cgp-evolve"


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Write `content` to a neighbour of `path`, then move it there: a reader sees all or nothing.

    Where it is not `durable`, a power cut soon afterwards may take it.
    """
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
