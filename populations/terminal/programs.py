"""Command lines: what to type next here (`python evolve.py`, or the installed `cgp-evolve`), errors of one line."""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from cgp.errors import BadInput, did_you_mean

_INSTALLED = ("cgp-evolve", "cgp-populations", "cgp-studies")  # as setup.cfg names them
_SCRIPT = Path(__file__).parents[2] / "evolve.py"


def program() -> str:
    """Return the name of the search's command, for its help and its errors."""
    return _INSTALLED[0] if _beside() else _SCRIPT.name


def search_command() -> str:
    """Return what starts a search here: `.venv/bin/python evolve.py`, `cgp-evolve`, ..."""
    beside = _beside()
    return typed(beside / _INSTALLED[0]) if beside else f"{interpreter()} {typed(_SCRIPT)}"


def populations_command() -> str:
    """Return what looks into runs here: `.venv/bin/python -m populations`, `cgp-populations`, ..."""
    beside = _beside()
    return typed(beside / _INSTALLED[1]) if beside else f"{interpreter()} -m populations"


def studies_command() -> str:
    """Return what asks studies here: `.venv/bin/python -m studies`, `cgp-studies`, ..."""
    beside = _beside()
    return typed(beside / _INSTALLED[2]) if beside else f"{interpreter()} -m studies"


def report_is_installed() -> bool:
    """Return whether the command `report` has what it needs, the package's extra of that name."""
    return find_spec("plotly") is not None


def interpreter() -> str:
    """Return this Python as its user would type it here: `.venv/bin/python`, `python`, or its path."""
    return typed(Path(sys.executable))


def typed(path: Path) -> str:
    """Return `path` as one types it from the working directory: relative, by name alone where that is found."""
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return path.name if shutil.which(path.name) == str(path) else str(path)


def _beside() -> Path | None:
    """Return the folder of the installed commands where one of them was started, else None."""
    started = Path(sys.argv[0])
    return started.absolute().parent if started.name in _INSTALLED else None


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Run the command that `parser` finds in `argv` and return its exit code.

    0 where a reader is gone, as in `... | head`, 2 for bad input or a disk that gives up (one line on stderr), 130
    where the user stopped it.
    """
    try:
        arguments = parser.parse_args(argv)
        code: int = arguments.command(arguments)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except (BadInput, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def add_format(command: argparse.ArgumentParser) -> None:
    """Let a command's table be asked for in another form."""
    command.add_argument("--format", choices=("table", "csv", "json"), default="table")


# What argparse says of a value that is wrong, taken apart: this program says it in the words of its own checks.
_NO_NUMBER = re.compile(r"invalid (?P<expected>int|float) value: '(?P<found>.*)'")
_NO_CHOICE = re.compile(r"invalid choice: '(?P<found>.*?)'.* \(choose from (?P<expected>.*)\)")
_NUMBERS = {"int": "a whole number", "float": "a number"}


class OneLineParser(argparse.ArgumentParser):
    """Raises BadInput, a line with what comes closest, where argparse would print its usage."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Take `--flag=--` at its word, for which argparse has an empty list before Python 3.13."""
        found, left = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs is None and getattr(found, action.dest, None) == []:
                setattr(found, action.dest, self._two_dashes(action))
        return found, left

    def _two_dashes(self, action: argparse.Action) -> Any:
        name, made = "/".join(action.option_strings), action.type if callable(action.type) else str
        if action.choices is not None:
            self.error(f"argument {name}: invalid choice: '--' (choose from {', '.join(map(repr, action.choices))})")
        try:
            return made("--")
        except ValueError:
            self.error(f"argument {name}: invalid {getattr(made, '__name__', made)} value: '--'")

    def error(self, message: str) -> NoReturn:
        """Raise BadInput with `message` as the program says such things, and for what is unknown the closest."""
        if message.startswith("unrecognized arguments: "):
            first = message.removeprefix("unrecognized arguments: ").partition(" ")[0]
            message = f"{first!r} belongs to no flag; leave it out"
            if first.startswith("-"):
                message = f"{first}: no such flag{did_you_mean(first, self._option_string_actions)}"
        flag, colon, said = message.removeprefix("argument ").partition(": ")
        if number := _NO_NUMBER.fullmatch(said):
            said = f"{number['found']!r}; expected {_NUMBERS[number['expected']]}"
        elif choice := _NO_CHOICE.fullmatch(said):
            known = choice["expected"].replace("'", "").split(", ")
            said = f"unknown {choice['found']!r}{did_you_mean(choice['found'], known)}; one of {', '.join(known)}"
        raise BadInput(f"{flag}{colon}{said}; see --help")
