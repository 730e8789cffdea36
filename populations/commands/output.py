"""What `--out` of a command may be: a file of a known kind that can be written. No torch."""

from collections.abc import Iterable
from pathlib import Path

from cgp.errors import BadInput, did_you_mean


def checked_kind(out: Path, force: bool, kinds: Iterable[str]) -> str:
    """Return which of `kinds`, as `.svg`, the file `out` is to be.

    Raises BadInput where it is none of them, where its folder is missing, and where it exists, unless `force`.
    """
    kind, known = out.suffix.lower(), list(kinds)
    if kind not in known:
        expected = f"one of {', '.join(known)}" if len(known) > 1 else known[0]
        raise BadInput(f"--out: {out} is of no known kind{did_you_mean(kind, known)}; expected {expected}")
    if not out.parent.is_dir():
        raise BadInput(f"--out: {out}: there is no folder {out.parent}; make it first")
    if out.is_dir():
        raise BadInput(f"--out: {out} is a folder; expected a file")
    if out.exists() and not force:
        raise BadInput(f"--out: {out} exists; give another name, or --force to overwrite it")
    return kind
