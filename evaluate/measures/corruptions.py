"""How a network stands corruptions: accuracy on corrupted images, of all networks on the same ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluate.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from evaluate.data.images import Images
from evaluate.measures.spectra import spaced
from evaluate.measures.subject import Measured, Subject
from evaluate.training.train import score

_BATCH = 1000  # images that are corrupted at once


def corruptions(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Return `accuracy[NAME, SEVERITY]` for each of 19 corruptions and 5 severities, and `clean`; `images`, how many.

    Options: `images`, so many test images, evenly spaced [default: all]; `files`, a folder with CIFAR-10-C's files,
    or others of that form, which are then read instead of computed: NAME.npy with the test images five times, in
    their order. What is computed is the same for all networks on one kind of device, whatever the job's seed.
    """
    whole = subject.images.of("test")
    rows = spaced(len(whole), int(options.get("images", len(whole))))
    chosen = _chosen(whole, rows)
    metrics = {"images": float(len(rows)), "clean": _accuracy(subject, chosen)}
    for name in CORRUPTIONS:
        for severity in SEVERITIES:
            if "files" in options:
                changed = _read(Path(options["files"]), name, severity, len(whole), rows).to(chosen.pixels.device)
            else:
                changed = _computed(chosen.pixels, name, severity)
            metrics[f"accuracy[{name}, {severity}]"] = _accuracy(subject, replace(chosen, pixels=changed))
    return Measured(metrics)


def robust(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Return `robust_accuracy`: the mean accuracy, over the 19 corruptions, on corrupted validation images.

    Each corruption is computed of each image once, and a fifth of them, every fifth, at each severity. No options.
    """
    whole = subject.images.of("validation")
    right = 0.0
    for severity in SEVERITIES:
        chosen = _chosen(whole, range(severity - 1, len(whole), len(SEVERITIES)))
        for name in CORRUPTIONS if len(chosen) else ():
            changed = replace(chosen, pixels=_computed(chosen.pixels, name, severity))
            right += _accuracy(subject, changed) * len(chosen)
    return Measured({"robust_accuracy": right / (len(CORRUPTIONS) * len(whole))})


def _chosen(images: Images, rows: Sequence[int]) -> Images:
    """Return those of `images` at `rows`, with pixels of their own."""
    own = images.rows[torch.tensor(rows, dtype=torch.int64, device=images.rows.device)]
    places = torch.arange(len(own), device=own.device)
    return replace(images, pixels=images.pixels[own], labels=images.labels[own], rows=places)


def _accuracy(subject: Subject, images: Images) -> float:
    return score(subject.network, images, subject.numerics)["accuracy"]


def _computed(pixels: Tensor, name: str, severity: int) -> Tensor:
    """Return `pixels` corrupted, each batch by random numbers of its own."""
    found = list[Tensor]()
    for number, part in enumerate(pixels.split(_BATCH)):
        entropy = (list(CORRUPTIONS).index(name), severity, number)
        state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
        generator = torch.Generator(pixels.device).manual_seed(int(state[0] >> 1))
        found.append(corrupted(part, name, severity, generator))
    return torch.cat(found)


def _read(folder: Path, name: str, severity: int, count: int, rows: Sequence[int]) -> Tensor:
    """Return the corrupted images at `rows` of `count` test images, (n, channels, height, width), from their file."""
    stored = np.load(folder / f"{name}.npy", mmap_mode="r")
    pixels = stored[(severity - 1) * count + np.asarray(rows)]
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
