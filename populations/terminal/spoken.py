"""Durations and sizes as one says them."""

from typing import NamedTuple


class _Unit(NamedTuple):
    begin: float  # seconds from which a duration is told in this unit
    seconds: float
    short: str
    name: str
    digits: int  # behind the point, where the number has one digit before it


_UNITS = (
    _Unit(48 * 3600, 86400, "days", "days", 1),
    _Unit(90 * 60, 3600, "h", "hours", 1),
    _Unit(100, 60, "min", "minutes", 0),
    _Unit(0, 1, "s", "seconds", 0),
)


def duration(seconds: float) -> str:
    """Return a time in its unit: `55 s`, `12 min`, `3.4 h`, `2.5 days`."""
    unit = _unit(seconds)
    return f"{_number(seconds, unit)} {unit.short}"


def between(low: float, high: float) -> str:
    """Return a range of seconds: `30 to 70 seconds`, `3 to 6 minutes`, `0.9 to 2 hours`."""
    if high < 1.5:
        return "a second"
    unit = _unit(high)
    least, most = _number(low, unit), _number(high, unit)
    return f"{most} {unit.name}" if least == most else f"{least} to {most} {unit.name}"


def size(count: float) -> str:
    """Return so many bytes in their unit: `473 MB`, `8.5 GB`."""
    if count < 1e9:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.1f} GB" if count < 1e10 else f"{count / 1e9:.0f} GB"


def _unit(seconds: float) -> _Unit:
    return next(unit for unit in _UNITS if seconds >= unit.begin)


def _number(seconds: float, unit: _Unit) -> str:
    value = seconds / unit.seconds
    return f"{value:.{unit.digits}f}".removesuffix(".0") if value < 9.95 else f"{value:.0f}"
