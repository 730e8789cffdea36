"""Tables that are recorded in parts: compressed JSON lines with a version, the same rows the same file."""

import gzip
import json
from pathlib import Path
from typing import Any

from cgp import BadInput

Row = dict[str, Any]


def read(path: Path, version: int) -> list[Row]:
    """Return the rows recorded so far, none where there is no table. Raises BadInput for one of another version."""
    if not path.exists():
        return []
    with gzip.open(path, "rt") as file:
        head, *lines = map(json.loads, file)
    if head.get("version") != version:
        raise BadInput(
            f"{path}: a table of version {head.get('version')}; expected {version}: record it anew, or use the "
            "program that wrote it"
        )
    return lines


def write(rows: list[Row], version: int, path: Path) -> None:
    """Write the table whole."""
    text = "".join(json.dumps(row) + "\n" for row in [{"version": version}, *rows])
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(gzip.compress(text.encode(), mtime=0))
    draft.replace(path)
