"""How a device computes: precision and memory format, and what of it belongs in a record."""

import contextlib
import platform
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

EVALUATION_BATCH = 256  # images; another size rounds differently, so replay must use the same

# fp32 is what it says: in convolutions cuDNN would take TF32 for it, with 10 bits of mantissa, where a GPU has that.
torch.backends.cudnn.allow_tf32 = False

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def native_precisions(device: str) -> tuple[str, ...]:
    """Return what `device` (`cpu`, `cuda`, `cuda:1`) computes without emulation, fp32 first."""
    if device.startswith("cuda"):
        with torch.cuda.device(device):
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("fp32", "bf16", "fp16") if bf16 else ("fp32", "fp16")
    bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return ("fp32", "bf16") if bf16 else ("fp32",)


def describe_device(device: str) -> dict[str, Any]:
    """Return what `device` (`cpu` or `cuda`) and this process compute with, whatever the precision."""
    on_gpu = device == "cuda"
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name() if on_gpu else platform.machine(),
        "instruction_set": None if on_gpu else torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # it is of a class of torch's, which a reader would import
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
    }


@dataclass(frozen=True)
class Numerics:
    """A device and the precision to use on it; weights and statistics stay fp32."""

    device: str  #: cpu or cuda
    precision: str  #: fp32, bf16 or fp16
    scored: int | None = None  #: images that are scored at once; None: `EVALUATION_BATCH`

    def scoring(self, most: int | None) -> "Numerics":
        """Return it with at most so many images scored at once."""
        return self if most is None else replace(self, scored=min(most, EVALUATION_BATCH))

    def place(self, network: nn.Module) -> nn.Module:
        """Move `network` to the device, its filters in the format that convolutions like best, and return it."""
        if self.device != "cpu":
            network.to(self.device)
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)
        return network

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which networks are run."""
        half = _HALVES.get(self.precision)
        return torch.autocast(self.device, half or torch.bfloat16, enabled=half is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Return a fresh scaler of the loss, without effect unless the precision is fp16.

        The gradients of fp16 leave its range unscaled (Micikevicius et al. 2017).
        """
        return torch.amp.GradScaler(self.device, enabled=self.precision == "fp16")

    def describe(self) -> dict[str, Any]:
        """Return everything that decides the last bit of a score."""
        return describe_device(self.device) | {
            "precision": self.precision,
            "memory_format": "channels_last",
            "evaluation_batch": self.scored or EVALUATION_BATCH,
        }
