"""What the `config.json` of a run means, whichever version of the program wrote it. No torch."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cgp.errors import BadInput
from evaluate.foreign import with_paths

# Recorded beside the flags:
FINGERPRINT = "data_fingerprint"  #: of the images; None where none have been seen, as by a run of imported networks
IMPORTED_FROM = "imported_from"  #: the format of networks that are of another program; missing where they are not
CODE = "code_digests"  #: of the files of the user's that judge networks, by metric; missing where there are none


def meaning(
    recorded: Mapping[str, Any], flags: Collection[str], before: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Return the value of each of `flags` in the run in `folder`, whose `config.json` holds `recorded`.

    `before` says what a run without one meant. Raises BadInput where it lacks one that every run has, or has one
    that this program does not know: to leave that out could make it another search.
    """
    found = {**before, **recorded}
    require(found, flags, folder)
    if unknown := sorted(recorded.keys() - {*flags, FINGERPRINT, CODE, IMPORTED_FROM}):
        raise BadInput(
            f"{folder / 'config.json'}: has {_named(unknown)}, which this program does not know; "
            "use the version that wrote it, see environment.json"
        )
    return {name: found[name] for name in flags}


def networks_of(recorded: Mapping[str, Any]) -> str:
    """Return what the networks are of a run whose `config.json` holds `recorded`: the models table's function_set."""
    if IMPORTED_FROM in recorded:
        return str(recorded[IMPORTED_FROM])
    trained_on = recorded.get("mode") if recorded.get("weights") else None
    return str(trained_on or recorded.get("family") or recorded["function_set"])


def require(recorded: Mapping[str, Any], names: Collection[str], folder: Path) -> None:
    """Raise BadInput where the `config.json` of `folder`, which holds `recorded`, lacks one of `names`."""
    if missing := [name for name in names if name not in recorded]:
        raise BadInput(f"{folder / 'config.json'}: lacks {_named(missing)}; restore it as evolve.py wrote it")


def _named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def means_as_recorded(name: str, recorded: Any, value: Any) -> bool:
    """Whether a search flag's `value` is the `recorded` one; a folder of images, or a file of code, may have moved.

    Whether images are the same, their fingerprint says, and of code its digest.
    """
    if name == "objectives":
        return _unplaced(recorded) == _unplaced(value)
    moved = name == "dataset" and all(str(dataset).startswith("folder:") for dataset in (recorded, value))
    return bool(moved or recorded == value)


def _unplaced(objectives: str) -> str:
    return with_paths(objectives, lambda path: Path(path).name)


def refuse_other_code(recorded: Mapping[str, Any], code: Mapping[str, str], folder: Path) -> None:
    """Raise BadInput where a file of the user's is not what it was when the run in `folder` began.

    `code` holds the digests now, by metric.
    """
    before = recorded.get(CODE, {})
    for name, digest in code.items():
        if digest != before.get(name):
            raise BadInput(
                f"--resume {folder}: the file of {name} has changed, its digest is {digest[:12]} and was "
                f"{str(before.get(name))[:12]}; restore it, or start another run"
            )


def refuse_other_images(recorded: Mapping[str, Any], fingerprint: str, folder: Path, asked: str) -> None:
    """Raise BadInput, beginning with the flag `asked`, where the images are not those that the run began with."""
    require(recorded, (FINGERPRINT,), folder)
    if recorded[FINGERPRINT] is None:
        return
    if (before := str(recorded[FINGERPRINT])) != fingerprint:
        raise BadInput(
            f"{asked}: the dataset has changed, its fingerprint is {fingerprint[:12]} and was {before[:12]}; restore "
            "the images, say where they are now (--data-dir, --dataset folder:PATH), or start another run"
        )
