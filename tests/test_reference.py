"""docs/reference.md is made from the program, and is whole."""

import re
from dataclasses import fields

import pytest

import populations.__main__ as cli
import studies.__main__ as asking
from docs.reference import PAGE, page
from populations.reading.columns import COLUMNS
from populations.setup.config import parser
from populations.setup.flags import FLAGS, GROUPS

TEXT = PAGE.read_text()


def test_the_page_is_that_of_the_program() -> None:
    assert page() == TEXT, "the program has changed: python -m docs.reference"


def test_every_flag_has_its_row_in_its_group_with_its_default() -> None:
    declared = [(group, field.name) for group, section in GROUPS.items() for field in fields(section)]
    assert [(flag.group, name) for name, flag in FLAGS.items()] == declared
    for flag in FLAGS.values():
        section = TEXT.partition(f"\n### {flag.group}\n")[2].partition("\n### ")[0]
        (row,) = (line for line in section.splitlines() if re.match(rf"\| `{flag.spelled}[ `]", line))
        shown = {True: "on", False: "off"}[flag.default] if isinstance(flag.default, bool) else flag.default
        assert shown is None or f" | {shown} | " in row
        assert flag.help.partition(" [default: ")[0] in row
    spelled = set(re.findall(r"--[a-z][a-z-]+\b", parser().format_help().partition("\noptions:")[2])) - {"--help"}
    assert {name for name in spelled if not re.search(rf"`{name}[ `]", TEXT)} == set()


COMMANDS = (
    *("list", "show", "best", "lineage", "compare", "explain", "draw", "report", "watch", "plot"),
    *("replay", "confirm", "measure", "finetune", "predict", "export", "import", "tensorboard", "mlflow"),
)


STUDIES = (
    "spectra",
    "corruptions",
    "forgetting",
    "depth",
    "features",
    "limit",
    "landscape",
    "lr-range",
    "activations",
)


@pytest.mark.parametrize("command", [*COMMANDS, *STUDIES])
def test_every_command_has_its_flags(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        (asking if command in STUDIES else cli).main([command, "--help"])
    shown = capsys.readouterr().out  # in which the help of a flag may name those of another command
    spelled = set(re.findall(r"(?:^  |, )(--[a-z][a-z-]+)\b", shown, re.MULTILINE)) - {"--help"}
    _, section, *_ = re.split(rf"^### {command}\b", TEXT, flags=re.MULTILINE)
    section = section.partition("\n### ")[0]
    assert {name for name in spelled if not re.search(rf"`{name}[ `]", section)} == set()


def test_every_column_has_its_meaning() -> None:
    assert all(f"| `{name}` | {meaning} |" in TEXT for name, meaning in COLUMNS.items())
