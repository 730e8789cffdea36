"""How long a forward pass takes: of one image, and of a batch of 64."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from evaluate.measures.subject import Measured, Subject

_BATCHES = {"latency_ms": 1, "latency_ms_64": 64}  # images, by metric
_WARM_UP = 3  # passes that are not counted: they choose algorithms and take memory
_FEWEST, _MOST = 20, 500  # passes that are, ...
_LONG_MS = 200.0  # ... until they took so long: what else a machine does comes and goes


@torch.inference_mode()
def latency(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Return `latency_ms` and `latency_ms_64`: the median of at least 20 passes, in milliseconds.

    They compute in the precision of the training. With each come `_n`, how many passes, and `_iqr`, the distance of
    their quartiles. Images are drawn from the normal distribution. No options.
    """
    metrics = dict[str, float]()
    for name, batch in _BATCHES.items():
        shape = (batch, *subject.images.data.shape)
        x = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(subject.numerics.device)
        x = x.contiguous(memory_format=torch.channels_last)
        for _ in range(_WARM_UP):
            _milliseconds(subject, x)
        times = list[float]()
        while len(times) < _FEWEST or (sum(times) < _LONG_MS and len(times) < _MOST):
            times.append(_milliseconds(subject, x))
        low, middle, high = np.quantile(times, (0.25, 0.5, 0.75))
        metrics |= {name: float(middle), f"{name}_n": float(len(times)), f"{name}_iqr": float(high - low)}
    return Measured(metrics)


def _milliseconds(subject: Subject, x: torch.Tensor) -> float:
    _wait(subject.numerics.device)
    began = time.perf_counter()
    with subject.numerics.autocast():
        subject.network(x)
    _wait(subject.numerics.device)
    return 1e3 * (time.perf_counter() - began)


def _wait(device: str) -> None:
    """Return when the device has done what it was given: a GPU works on its own."""
    if device == "cuda":
        torch.cuda.synchronize()
