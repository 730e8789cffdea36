"""Commands in documents: those in blocks without a language are run by tests.

In blocks of `console`, each behind a `$`, are those that need what a test does not have: the net, a cluster.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from harness import ROOT, populations, program, studies

#: Says each command instead of running it; it is asked for all that a shell does not find, where PATH names nothing.
_SAID = "command_not_found_handle() { printf '%q ' \"$@\"; echo; }\nPATH=/nowhere\n"

_SMALL = (
    *("--population", "2", "--generations", "1", "--num-min-depth", "2", "--num-max-depth", "4"),
    *("--train-size", "40", "--val-size", "all", "--executor", "serial"),
)

_SMALL_DEPTH = (
    *("--function-sets", "vgg", "--train-sizes", "40,60", "--networks", "2", "--num-min-depth", "2"),
    *("--num-max-depth", "3", "--epochs", "1", "--executor", "serial"),
)


def blocks(document: Path) -> list[tuple[str, str]]:
    """Return the language and the lines of each block of a document."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


def commands(document: Path) -> list[list[str]]:
    """Return the words of each command that may be run, as bash reads them, with loops unrolled."""
    typed = "".join(lines for language, lines in blocks(document) if not language)
    script = _SAID + re.sub(r"^(\s*)\.venv/bin/", r"\1", typed, flags=re.MULTILINE)
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), f"{document.name}: {done.stderr}"
    return [shlex.split(line) for line in done.stdout.splitlines()]


def left_out(document: Path) -> list[list[str]]:
    """Return the words of each command that stands behind a `$`."""
    shown = "".join(lines for language, lines in blocks(document) if language == "console").replace("\\\n", "")
    return [shlex.split(line.removeprefix("$ ")) for line in shown.splitlines() if line.startswith("$ ")]


def is_search(words: list[str]) -> bool:
    """Return whether a command is one of `evolve.py`."""
    return words[0] == "cgp-evolve" or words[:2] == ["python", "evolve.py"]


def flags(words: list[str]) -> list[str]:
    """Return the flags of a search."""
    return words[1 + (words[0] == "python") :]


def small(words: list[str]) -> list[str]:
    """Return a search as one that takes a second: what is given last counts."""
    return [*words, *_SMALL]


def run(words: list[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command in `cwd`, which stands for a checkout."""
    if is_search(words):
        return program(*flags(words), cwd=cwd)
    match words:
        case ("python", "-m", "populations", *arguments) | ("cgp-populations", *arguments):
            return populations(*arguments, cwd=cwd)
        case ("python", "-m", "studies", *arguments) | ("cgp-studies", *arguments):
            return studies(*arguments, *(_SMALL_DEPTH if arguments[0] == "depth" else ()), cwd=cwd)
        case "python", script, *arguments:
            path = cwd / script if (cwd / script).exists() else ROOT / script
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            line: list[str | Path] = [sys.executable, path, *arguments]
            return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)
    raise AssertionError(f"no test runs {words}: let one, or put it behind a $ in a block of console")
