"""Write docs/reference.md: every flag, command and column, as the program knows them.

usage: python -m docs.reference
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from populations.__main__ import parser as commands
from populations.reading.columns import COLUMNS
from populations.setup.config import parser as search_parser
from studies.__main__ import parser as studies

PAGE = Path(__file__).with_suffix(".md")
_HEAD = """# Reference

Made from the program by `python -m docs.reference`.

## python evolve.py

Flags are spelled with dashes or underscores. `--config FILE` takes them from a TOML file, flat or in the tables
below; those on the command line override it. `evolve.run(num_max_depth=30, ...)` takes them from Python.
"""
_COMMANDS = """
## python -m populations

Each command takes the folder of a run; a model is named by `best` or by the beginning of its id.
"""
_STUDIES = """
## python -m studies

Each study asks models of a run, through its pool and its journal; what it finds lands in `RUN/studies/NAME`.
"""
_COLUMNS = """
## Columns of the models table

`populations.load(RUN).models`, `python -m populations show RUN --format csv` and the files in `snapshots/` have one
row for each job. What is missing is empty.
"""


def page() -> str:
    """Return the page."""
    lines = [_HEAD]
    for title, actions in _groups(search_parser()):
        lines += [f"### {title}", "", *_flags(actions), ""]
    for head, parser in ((_COMMANDS, commands()), (_STUDIES, studies())):
        lines += [head.lstrip("\n")]
        for name, about, command in _subcommands(parser):
            actions = [action for action in command._actions if not isinstance(action, argparse._HelpAction)]
            arguments = [_argument(action) for action in actions if not action.option_strings]
            lines += [f"### {' '.join([name, *arguments])}", "", f"{about[0].upper()}{about[1:]}.", ""]
            lines += [*_flags([action for action in actions if action.option_strings]), ""]
    lines += [_COLUMNS.lstrip("\n"), *_table(("column", "meaning"), ((f"`{k}`", v) for k, v in COLUMNS.items()))]
    return "\n".join(lines) + "\n"


def _groups(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """Yield the titles of a parser's groups and what is in them, without --help."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if actions:
            yield str(group.title), actions


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield the name of each command, what it does, and its parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield choice.dest, str(choice.help), action.choices[choice.dest]


def _argument(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest).upper()
    return {"?": f"[{name}]", "*": f"[{name} ...]"}.get(str(action.nargs), name)


def _flags(actions: list[argparse.Action]) -> list[str]:
    """Return the lines of a table of flags."""
    return _table(("flag", "default", "meaning"), map(_row, actions)) if actions else []


def _row(action: argparse.Action) -> tuple[str, str, str]:
    """Return a flag, its default, which stands in brackets at the end of its help or is none, and the help."""
    about, default = str(action.help or "").replace("%%", "%"), ""
    if found := re.fullmatch(r"(.*?) ?\[default: (.*)\]", about):
        about, default = found.groups()
    elif isinstance(action.default, str) and action.default != argparse.SUPPRESS:
        default = action.default
    if isinstance(action, argparse.BooleanOptionalAction):
        default = {"": "off", "no": "off", "True": "on"}.get(default, default)
    if action.choices:
        about = ", ".join(map(str, action.choices)) + (f": {about}" if about else "")
    value = f" {action.metavar or action.dest.upper()}" if action.nargs != 0 and not action.choices else ""
    return ", ".join(f"`{name}{value}`" for name in action.option_strings), default, about


def _table(head: tuple[str, ...], rows: "Iterator[tuple[str, ...]]") -> list[str]:
    escaped = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {row} |" for row in escaped)]


if __name__ == "__main__":
    PAGE.write_text(page())
