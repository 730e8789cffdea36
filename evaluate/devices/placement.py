"""How many workers go on each device: as asked, one per core of a CPU, or by a throughput probe of a GPU.

The probe has been run on a CPU only, as has the admission by memory.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import joblib

from cgp.errors import BadInput
from evaluate.devices.probe import Window, remembered, steps_within
from evaluate.memory.room import free_bytes
from evaluate.pool.executors import ProcessSlot, await_ready, local_slots

_COUNTS = (1, 2, 4, 8)  # workers on one GPU that are tried
_NEAR = 0.95  # of the best throughput is as good, with fewer workers


def placement(
    devices: Sequence[str],
    workers: int | None,
    per_device: str | None,
    precision: str,
    need: Callable[[str], int],
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[str], int]:
    """Return the devices over which workers go in turn, and how many workers there are.

    By default one for each device, or where there is only a CPU one for each core that this process may use, as
    far as they fit, which `say` is told in a line where it is fewer; else `workers` in all, or `per_device`, a
    number or `auto`. `need` gives the bytes that a worker on a device is predicted to take; it is asked only where
    there may be more than one worker for each of `devices`. Raises BadInput where the workers asked for cannot fit.
    """
    need = cache(need)
    if per_device is None:
        if workers is None:
            return list(devices), _by_default(devices, need, say)
        _refuse_excess("--workers", [devices[n % len(devices)] for n in range(workers)], need)
        return list(devices), workers
    each = dict[str, int]()
    for device in dict.fromkeys(devices):
        most = max(1, free_bytes(device) // need(device))
        each[device] = _chosen(device, precision, most) if per_device == "auto" else int(per_device)
    placed = [device for device in devices for _ in range(each[device])]
    _refuse_excess("--workers-per-device", placed, need)
    return placed, len(placed)


def _cores() -> int:
    return int(joblib.cpu_count())  # heeds affinity, and the share of the cores that a container has


def _by_default(devices: Sequence[str], need: Callable[[str], int], say: Callable[[str], None]) -> int:
    if list(devices) != ["cpu"] or (cores := _cores()) == 1:
        return len(devices)
    free, bytes_each = free_bytes("cpu"), need("cpu")
    count = min(cores, max(1, free // bytes_each))
    if count < cores:
        say(
            f"{count} of {cores} cores get a worker: each needs about {bytes_each:,} bytes for networks of median "
            f"cost, and {free:,} are free"
        )
    return count


def _refuse_excess(flag: str, placed: Sequence[str], need: Callable[[str], int]) -> None:
    for device, count in Counter(placed).items():
        free, bytes_each = free_bytes(device), need(device)
        if count * bytes_each > free:
            raise BadInput(
                f"{flag}: {count} workers on {device} need about {count * bytes_each:,} bytes for networks of "
                f"median cost, and {free:,} are free; expected at most {free // bytes_each} there"
            )


def _chosen(device: str, precision: str, most: int) -> int:
    """Return how many workers `device` gets, at most `most`: cores need no probe, kinds of GPU one each.

    Two workers of one thread do 17 to 26 % more than one worker of two threads.
    """
    if device == "cpu":
        return min(_cores(), most)
    counts = [count for count in _COUNTS if count <= most]
    question = {"precision": precision, "workers": counts}
    found = remembered(device, question, lambda: {"rates": list(throughput(device, precision, counts).values())})
    return fewest_near_best(dict(zip(counts, found["rates"], strict=True)))


def fewest_near_best(rates: Mapping[int, float]) -> int:
    """Return the smallest count whose rate is within 5 % of the best."""
    return min(count for count, rate in rates.items() if rate >= _NEAR * max(rates.values()))


def throughput(device: str, precision: str, counts: Sequence[int], seconds: float = 1.5) -> dict[int, float]:
    """Return the training steps a second that each of `counts` workers side by side make on `device`."""
    slots = local_slots([device], max(counts))
    try:
        await_ready(slots)
        _steps(slots, precision, 0.0)  # the first step of a process is slow
        return {count: _steps(slots[:count], precision, seconds) / seconds for count in counts}
    finally:
        for slot in slots:
            slot.stop()


def _steps(slots: Sequence[ProcessSlot], precision: str, seconds: float) -> int:
    begin = time.time() + 0.3
    windows = [Window(slot.device.partition(":")[0], precision, begin, begin + seconds) for slot in slots]
    futures = [slot.submit(steps_within, window) for slot, window in zip(slots, windows, strict=True)]
    return sum(future.result() for future in futures)
