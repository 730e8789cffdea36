"""Code of the user's that judges networks: a function in a file, named by `--objectives`. No torch.

That flag is the only way in which such code is loaded: when a search begins, and in its workers. What is asked of a
run afterwards (`replay`, `confirm`, `measure` ...) loads none.
"""

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from cgp.errors import BadInput, did_you_mean

PREFIX = "python:"
EXPECTED = f"{PREFIX}FILE.py:function, and :min behind it where less is better"
_SPELLED = re.compile(r"python:(?P<path>.+\.py):(?P<function>[^\W\d]\w*)(?P<way>:min|:max)?")


class ForeignCodeChanged(Exception):
    """A file is not what it was when the search began: its networks would be judged by another measure."""


@dataclass(frozen=True)
class Foreign:
    """A function of the user's."""

    path: str  #: of its file
    function: str
    digest: str = ""  #: SHA-256 (hex) of the file when the search began; empty before that

    @property
    def name(self) -> str:
        """What its metric is called: without the folder of its file, which may move."""
        return f"{PREFIX}{Path(self.path).name}:{self.function}"

    def sealed(self) -> "Foreign":
        """Return it with the digest of its file as that is now; nothing of it is run.

        Raises BadInput where the file cannot be read, is no Python, or has no such function.
        """
        where = f"--objectives: {self.path}"
        try:
            source = Path(self.path).read_bytes()
        except OSError as error:
            raise BadInput(f"{where}: cannot be read ({error.strerror}); expected a file of Python") from error
        try:
            body = ast.parse(source).body
        except (SyntaxError, ValueError) as error:  # the latter for null bytes
            raise BadInput(f"{where}: is no Python ({' '.join(str(error).split())}); correct it") from error
        names = [name for statement in body for name in _bound(statement)]
        if self.function not in names and "*" not in names:
            functions = ", ".join(node.name for node in body if isinstance(node, ast.FunctionDef)) or "none"
            hint = did_you_mean(self.function, names)
            raise BadInput(f"{where}: has no function {self.function!r}{hint}; it has {functions}")
        return replace(self, digest=hashlib.sha256(source).hexdigest())


def parsed(text: str) -> tuple[Foreign, float]:
    """Return the function that an objective `python:FILE.py:function[:min|:max]` names, and its weight.

    The weight is +1 where greater is better, -1 where less is. Raises BadInput for another text.
    """
    found = _SPELLED.fullmatch(text)
    if found is None:
        raise BadInput(f"--objectives: {text!r}; expected {EXPECTED}")
    return Foreign(found["path"], found["function"]), -1.0 if found["way"] == ":min" else 1.0


def with_paths(objectives: str, changed: Callable[[str], str]) -> str:
    """Return comma-separated `objectives` with the path of each file as `changed` makes it; others stay."""
    return ",".join(_with_path(name.strip(), changed) for name in objectives.split(","))


def _with_path(name: str, changed: Callable[[str], str]) -> str:
    found = _SPELLED.fullmatch(name)
    return f"{PREFIX}{changed(found['path'])}{name[found.end('path') :]}" if found else name


@lru_cache(maxsize=16)
def loaded(code: Foreign) -> Callable[..., Any]:
    """Return the function, its file run once in this process.

    Raises ForeignCodeChanged where the file is gone or changed, and whatever its statements raise.
    """
    path = Path(code.path)
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ForeignCodeChanged(f"{path}: cannot be read ({error.strerror}); restore it") from error
    if found != code.digest:
        raise ForeignCodeChanged(
            f"{path}: has changed since the search began, its digest is {found[:12]} and was {code.digest[:12]}; "
            "restore it"
        )
    spec = importlib.util.spec_from_file_location(f"foreign_{found}", path)
    assert spec is not None
    assert spec.loader is not None  # the path ends in .py
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # its dataclasses look it up there
    spec.loader.exec_module(module)
    function: Callable[..., Any] = getattr(module, code.function)
    return function


def _bound(statement: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a file binds; `*` for those of a whole module."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in statement.names]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
