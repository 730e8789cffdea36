"""The formats that a network is carried away in: how each is written, and loaded again as its reader would load it.

To add one: two functions, `write(carried, path)` and `load(path)`, and an entry in `FORMATS`. What is not among the
core's requirements is imported in these functions alone.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgp.graph import Graph
from cgp.network import build
from evaluate.training.checkpoint import read_tensors, write_tensors, write_weights
from populations.exporting.carried import Carried
from populations.exporting.standalone import MODEL, WEIGHTS, WHITENING, standalone

Classify = Callable[[Tensor], Tensor]  #: from normalised images (batch, channels, height, width) to logits


@dataclass(frozen=True)
class Format:
    """A format by what writes and what loads it."""

    write: Callable[[Carried, Path], None]
    load: Callable[[Path], Classify]
    suffix: str = ""  #: of its name
    files: tuple[str, ...] = ()  #: what is in the folder that it is; empty where it is a file
    packages: tuple[str, ...] = ()  #: that it needs beside the core's
    extra: str = ""  #: of setup.cfg, which installs them
    whitens: bool = False  #: whether it carries what whitens the images


def _write_source(carried: Carried, path: Path) -> None:
    path.mkdir()
    (path / MODEL).write_text(standalone(carried), encoding="utf-8")
    write_weights(path / WEIGHTS, carried.network, carried.about)
    if carried.whitening is not None:
        write_tensors(path / WHITENING, {"whitening": carried.whitening}, {"model": carried.id})


def _load_source(path: Path) -> Classify:
    file = path / MODEL
    names: dict[str, Any] = {"__name__": file.stem, "__file__": str(file)}
    exec(compile(file.read_text(encoding="utf-8"), file, "exec"), names)  # an import would leave its bytecode there
    network: Classify = names["load"]()
    return network


def _write_onnx(carried: Carried, path: Path) -> None:
    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(
        carried.network, (_example(carried),), dynamo=True, dynamic_shapes=(batch,), verbose=False,
        input_names=["images"], output_names=["logits"],
    )  # fmt: skip
    assert program is not None
    program.model.metadata_props.update(_texts(carried))
    program.save(path, external_data=False)


def _load_onnx(path: Path) -> Classify:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # left to itself, it asks for cores that are not all ours
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _write_exported(carried: Carried, path: Path) -> None:
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(carried.network, (_example(carried),), dynamic_shapes=(batch,))
    torch.export.save(program, path, extra_files={f"{name}.json": text for name, text in _texts(carried).items()})


def _load_exported(path: Path) -> Classify:
    return torch.export.load(path).module()


def _texts(carried: Carried) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in carried.about.items()}


def _example(carried: Carried) -> Tensor:
    return torch.zeros(2, *carried.images.shape)  # of one image, the batch would be taken for a constant


def _write_weights(carried: Carried, path: Path) -> None:
    write_weights(path, carried.network, carried.about)


def _load_weights(path: Path) -> Classify:
    tensors, about = read_tensors(path)
    network = build(Graph.from_json(about["graph"]))
    network.load_state_dict(tensors)
    return network.eval()


_ONNX = ("onnx", "onnxruntime", "onnxscript")

FORMATS: dict[str, Format] = {
    "source": Format(_write_source, _load_source, files=(MODEL, WEIGHTS, WHITENING), whitens=True),
    "onnx": Format(_write_onnx, _load_onnx, ".onnx", packages=_ONNX, extra="onnx"),
    "torch-export": Format(_write_exported, _load_exported, ".pt2"),
    "safetensors": Format(_write_weights, _load_weights, ".safetensors"),
}
