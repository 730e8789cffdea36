"""Weights that describe themselves, written atomically: tensors as safetensors, the rest as JSON.

    MODEL/best.safetensors   weights of the best validation epoch
    MODEL/last.safetensors   weights and optimizer state of the last epoch, and all that training needs
                             to go on from there
    MODEL/epoch-0004.safetensors  weights of that epoch, where those of epochs are kept; 0: the beginning

All carry their description as JSON in the file's header, so that a file is whole or absent.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cgp.errors import BadInput
from evaluate.files import BEST, LAST, discard_drafts, epoch_file, kept_epochs, write_atomically

_OPTIMIZER = "optimizer/"  # prefix of the optimizer's tensors beside the network's own names
_TYPES = {torch.float64: "F64", torch.float32: "F32", torch.int64: "I64"}  # of the tensors of networks and optimizers
_ALIGNED = 8  # bytes: where a tensor of any type may begin


def write_weights(path: Path, network: nn.Module, description: dict[str, Any]) -> None:
    """Write the network's tensors with `description` (JSON-able).

    A power cut may take them until they are synced (evaluate/files.py), which the store does with a result.
    """
    write_tensors(path, network.state_dict(), description)


def write_tensors(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write `tensors` by name with `description` (JSON-able), as `write_weights` does those of a network."""
    write_atomically(path, _parts(tensors, {"description": json.dumps(description)}), durable=False)


def _parts(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """Yield the parts of a safetensors file: its header, then each tensor, copied when its turn comes.

    The library's own `save` wants copies of all tensors, and makes as many bytes of them: beside a network whose
    weights outweigh its maps, that was most of what a training took.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))  # so all are aligned
    header, end = dict[str, Any](__metadata__=metadata), 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNED)
    yield len(text).to_bytes(8, "little") + text
    for _, tensor in ordered:
        yield tensor.detach().cpu().contiguous().numpy().data


def read_weights(path: Path, network: nn.Module, optimizer: Optimizer | None = None) -> dict[str, Any]:
    """Load tensors from `path` into `network` (and `optimizer`) and return the description.

    Raises BadInput, naming the file, where it is missing, truncated or of another network.
    """
    tensors, description = read_tensors(path)
    mine = {name: t for name, t in tensors.items() if not name.startswith(_OPTIMIZER)}
    try:
        network.load_state_dict(mine)
        if optimizer is not None:
            state: dict[int, dict[str, Tensor]] = {}
            for name in sorted(tensors.keys() - mine.keys()):
                index, key = name.removeprefix(_OPTIMIZER).split("/")
                state.setdefault(int(index), {})[key] = tensors[name]
            groups = description["param_groups"]
            for group in groups:  # JSON knows no tuples
                group.update({k: tuple(v) for k, v in group.items() if k == "betas"})
            optimizer.load_state_dict({"state": state, "param_groups": groups})
            for parameter, values in optimizer.state.items():
                for key, value in values.items():
                    # Fused optimizers take their memory layout for granted. What is no copy holds the whole file.
                    kind = parameter if value.shape == parameter.shape else value
                    values[key] = torch.empty_like(kind).copy_(value)
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: not the weights of this network ({reason}); check its folder") from error
    return description


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return all tensors and the description in `path`. Raises BadInput, naming it, if it is damaged."""
    if path.is_dir():
        raise BadInput(f"{path}: is a folder, where a checkpoint belongs; move it away, or replay with --retrain")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no iterator
            return tensors, json.loads(file.metadata()["description"])
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such checkpoint; expected the weights of a trained model") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{path}: corrupt or truncated checkpoint ({error}); only this model is affected: "
            "replay it with --retrain"
        ) from error


class Interrupted(Exception):
    """The run was asked to stop; the last epoch is checkpointed."""


class ModelFolder:
    """The folder of one model while it is trained: checkpoints, curve and log."""

    def __init__(
        self, path: Path, about: dict[str, Any], stop_file: Path | None = None, keep_epochs: int = 0
    ) -> None:
        """Use `path`, an existing folder; `about` goes into every checkpoint's description.

        Where `about` has a `job`, checkpoints of a job that differs in what decides the outcome are not used. The
        weights of every `keep_epochs`th epoch stay, and those that it begins with; none where that is 0.
        """
        self.path, self.about, self.stop_file, self.keep_epochs = path, about, stop_file, keep_epochs
        self.stretches: list[dict[str, Any]] = []  #: of epochs: `from`, `to`, and the `numerics` they ran with

    def log(self, text: str) -> Path:
        """Append `text` to the log and return its path."""
        path = self.path / "log.txt"
        with path.open("a") as file:
            file.write(text.rstrip() + "\n")
        return path

    def discard_unusable(self) -> None:
        """Remove the last checkpoint where it or the best weights are damaged or another job's: training starts over.

        That ends where this job's own training ends. To fail instead would let what lies in a folder by
        accident decide how a network is judged. A folder in a checkpoint's place is moved out of the way, and what a
        worker was writing when it was killed is removed.
        """
        discard_drafts(self.path)
        for path in (self.path / BEST, self.path / LAST):
            if path.is_dir():
                aside = path.rename(path.with_name(f"{path.name}-was-a-folder"))
                self.log(f"{path}: was a folder, where a checkpoint belongs; it is now {aside.name}")
        if not (self.path / LAST).exists():
            self._forget_epochs()
            return
        try:
            for name in (BEST, LAST):
                _, description = read_tensors(self.path / name)
                self._refuse_foreign(name, description)
        except BadInput as error:
            self.log(f"training starts over: {error}")
            (self.path / LAST).unlink()
            self._forget_epochs()

    def _forget_epochs(self) -> None:
        """Remove the weights of epochs: a training that starts over keeps its own."""
        for path in kept_epochs(self.path).values():
            path.unlink()

    def _refuse_foreign(self, name: str, description: dict[str, Any]) -> None:
        if "job" not in self.about:
            return
        theirs = _deciding(description)
        differing = [field for field, value in _deciding(self.about).items() if theirs.get(field, value) != value]
        if "job" not in description or differing:
            found = f"a job with other {', '.join(differing)}" if differing else "an unknown job"
            raise BadInput(f"{self.path / name}: is of {found}; expected this model's own checkpoint")

    def resume(self, network: nn.Module, optimizer: Optimizer, scheduler: LRScheduler) -> list[dict[str, float]]:
        """Load the last epoch's state, where there is one, and return the curve so far."""
        if not (self.path / LAST).exists():
            self._keep_epoch(0, network.state_dict(), self.about)
            return []
        description = read_weights(self.path / LAST, network, optimizer)
        state = description["scheduler"]
        if "milestones" in state:  # JSON knows no numbers as keys
            state["milestones"] = Counter({int(step): count for step, count in state["milestones"].items()})
        scheduler.load_state_dict(state)
        curve: list[dict[str, float]] = description["curve"]
        # Checkpoints of older programs speak of their last stretch alone.
        whole = {"from": 1, "to": len(curve), "numerics": description.get("numerics", {})}
        self.stretches = description.get("stretches", [whole])
        self._begin_table(curve)  # a kill may have come between the checkpoint and its line
        return curve

    def keep(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        curve: list[dict[str, float]],
        best: bool,
    ) -> None:
        """Checkpoint the epoch that ends `curve`; `best` says that it validates best so far.

        The last weights go last: were the process to end in between, the epoch is trained again,
        to the same weights. Raises Interrupted, once all is written, when the stop file is there.
        """
        self._extend_stretches(len(curve))
        about = self.about | {"epoch": len(curve), "metrics": curve[-1], "stretches": self.stretches}
        weights = network.state_dict()
        self._keep_epoch(len(curve), weights, about)
        if best:
            write_tensors(self.path / BEST, weights, about)
        state = optimizer.state_dict()
        named = [
            (f"{_OPTIMIZER}{n}/{name}", value) for n, own in state["state"].items() for name, value in own.items()
        ]
        about |= {"scheduler": scheduler.state_dict(), "param_groups": state["param_groups"], "curve": curve}
        write_tensors(self.path / LAST, weights | dict(named), about)
        if len(curve) == 1:
            self._begin_table(curve)
        else:
            with (self.path / "curve.csv").open("a") as file:
                file.write(_line(curve[-1]) + "\n")
        if self.stop_file is not None and self.stop_file.exists():
            raise Interrupted

    def _keep_epoch(self, epoch: int, weights: dict[str, Tensor], about: dict[str, Any]) -> None:
        if self.keep_epochs and epoch % self.keep_epochs == 0:
            write_tensors(self.path / epoch_file(epoch), weights, about | {"epoch": epoch})

    def _extend_stretches(self, epoch: int) -> None:
        numerics = self.about.get("numerics", {})
        if self.stretches and self.stretches[-1]["numerics"] == numerics:
            self.stretches[-1]["to"] = epoch
        else:
            self.stretches.append({"from": epoch, "to": epoch, "numerics": numerics})

    def _begin_table(self, curve: list[dict[str, float]]) -> None:
        lines = [",".join(curve[0]), *map(_line, curve)]
        write_atomically(self.path / "curve.csv", ("\n".join(lines) + "\n").encode(), durable=False)


def _deciding(about: dict[str, Any]) -> dict[str, Any]:
    """Return, flat and as JSON reads it, what decides the outcome of a checkpoint's job.

    Not its number, nor where the images lie, which their fingerprint says better.
    """
    job = json.loads(json.dumps(about.get("job", {})))
    found = {name: job.get(name) for name in ("graph", "seed", "parent", "start")}
    found |= {f"recipe {name}": value for name, value in job.get("recipe", {}).items() if name != "name"}
    found |= {f"data {name}": value for name, value in job.get("data", {}).items() if name != "data_dir"}
    if str(found.get("data name")).startswith("folder:"):
        found["data name"] = "folder:"
    fingerprint = about.get("numerics", {}).get("data_fingerprint")
    return found | ({"images": fingerprint} if fingerprint else {})


def _line(row: dict[str, float]) -> str:
    return ",".join(map(repr, row.values()))
