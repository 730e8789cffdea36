"""The one error a user is meant to read: a single line, and exit code 2."""

import difflib
from collections.abc import Iterable


class BadInput(ValueError):
    """Something the user gave cannot be used.

    The message is one line: the flag or file, what was found, what was expected, what to do.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the closest of `known`, or `""`."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
