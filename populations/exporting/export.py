"""A network written in a format, loaded again, compared with what was written, and only then put in its place."""

import importlib.util
import tempfile
from pathlib import Path

import torch

from cgp.errors import BadInput, did_you_mean
from populations.exporting.carried import Carried
from populations.exporting.formats import FORMATS, Classify, Format

LIMIT = 1e-4  #: by how much a logit may differ
_BATCHES = (1, 3, 4)  # images: a reader chooses how many it gives at once


def usable(name: str, out: Path, force: bool) -> Format:
    """Return the format `name`, where it can be written to `out`.

    Raises BadInput for an unknown format, one whose packages are not there, and where `out` exists or cannot be
    written. With `force` a file, or a folder with nothing but an earlier export, may be replaced.
    """
    if name not in FORMATS:
        raise BadInput(f"--format: unknown {name!r}{did_you_mean(name, FORMATS)}; one of {', '.join(FORMATS)}")
    format = FORMATS[name]
    if missing := [package for package in format.packages if importlib.util.find_spec(package) is None]:
        install = f"pip install 'cgp-evolve[{format.extra}]'"
        raise BadInput(f"--format {name}: needs {', '.join(missing)}, not installed here; install: {install}")
    if not out.parent.is_dir():
        raise BadInput(f"--out {out}: there is no folder {out.parent}; make it first, or name another")
    if not out.exists() and not out.is_symlink():
        return format
    if not force:
        raise BadInput(f"--out {out}: exists already; name another, or replace it by --force")
    if format.files and not _is_export(out, format):
        raise BadInput(
            f"--out {out}: --force replaces an earlier export alone, a folder of {', '.join(format.files)}"
        )
    if not format.files and out.is_dir():
        raise BadInput(f"--out {out}: is a folder; expected a file, which --format {name} is")
    return format


def _is_export(out: Path, format: Format) -> bool:
    """Whether `out` is a folder with what such an export has, and no more: nothing else is ever removed."""
    if out.is_symlink() or not out.is_dir():
        return False
    return {path.name for path in out.iterdir()} <= {*format.files, "__pycache__"}


def export(carried: Carried, format: Format, out: Path) -> float:
    """Write `carried` to `out`, in the place of what is there, and return the largest difference of a logit.

    Raises BadInput, and leaves `out` as it was, where that is above `LIMIT`, where `out` cannot be written, and where
    the format cannot carry what whitens the images.
    """
    if carried.whitening is not None and not format.whitens:
        raise BadInput(
            f"--out {out}: the images are whitened (--preprocess {carried.images.preprocess}), and this format "
            "cannot carry the matrix; expected --format source"
        )
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as beside:
            draft = Path(beside) / f"network{format.suffix}"
            format.write(carried, draft)
            found = difference(carried, format.load(draft))
            if not found <= LIMIT:
                raise BadInput(f"--out {out}: loaded again, its logits differ by up to {found:.2g}; expected {LIMIT}")
            if out.is_dir():
                out.rename(Path(beside) / "before")
            draft.rename(out)
    except OSError as error:
        raise BadInput(f"--out {out}: cannot be written ({error.strerror}); name another place") from error
    return found


@torch.inference_mode()
def difference(carried: Carried, classify: Classify) -> float:
    """Return by how much the logits of `classify` differ at most from the network's, on random images in batches."""
    generator = torch.Generator().manual_seed(0)
    found = 0.0
    for batch in _BATCHES:
        pixels = torch.randint(0, 256, (batch, *carried.images.shape), generator=generator)
        images = carried.normalised(pixels)
        found = max(found, float((classify(images) - carried.network(images)).abs().max()))
    return found
