"""What memory the control groups that hold a process leave it: a container's, SLURM's, systemd's. No torch."""

import sys
from collections.abc import Iterator
from pathlib import Path

# By version: limit, what is used, statistics, and which of them counts the file pages that can go.
_FILES = {
    "cgroup2": ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    "cgroup": ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"),
}


def free_in_groups(process: Path) -> int:
    """Return the bytes that the tightest limit leaves to `process`, its folder in `/proc`; `sys.maxsize` without one.

    A limit holds for all groups below it, so each group above that of the process counts, too.
    """
    return min((_left(version, group) for version, group in _groups(process)), default=sys.maxsize)


def _groups(process: Path) -> Iterator[tuple[str, Path]]:
    """Yield the version and the folder of the groups that `process` is in, as far up as they are mounted."""
    try:
        memberships, mounts = (process / "cgroup").read_text(), (process / "mountinfo").read_text()
    except OSError:  # no Linux
        return
    own = {}
    for line in memberships.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" or "memory" in controllers.split(","):
            own["cgroup2" if number == "0" else "cgroup"] = Path(path)
    for line in mounts.splitlines():
        mount, _, system = line.partition(" - ")
        version, _, options = system.split(" ", 2)
        if version in own and (version == "cgroup2" or "memory" in options.split(",")):
            root, point = mount.split()[3:5]
            yield from ((version, Path(point) / group) for group in _within(own[version], root))


def _within(path: Path, root: str) -> Iterator[Path]:
    """Yield the group at `path` and those above it, relative to a mount whose top is the group `root`.

    A container may show its own group as the top and still tell the path outside.
    """
    inside = path.relative_to(root) if path.is_relative_to(root) and ".." not in path.parts else Path()
    yield inside
    yield from inside.parents


def _left(version: str, group: Path) -> int:
    limit, used, statistics, cached = _FILES[version]
    try:
        most = (group / limit).read_text().strip()
        if most == "max":
            return sys.maxsize
        counts = dict(line.split() for line in (group / statistics).read_text().splitlines())
        return max(0, int(most) - int((group / used).read_text()) + int(counts.get(cached, 0)))
    except OSError:  # the top group has no limit; a group that is not shown has none that can be read
        return sys.maxsize
