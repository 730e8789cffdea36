"""How a device computes: precision and memory format, and what of it belongs in a record."""

import contextlib
import platform
from dataclasses import dataclass
from typing import Any

import torch

EVALUATION_BATCH = 512  # images; another size rounds differently, so replay must use the same


def resolve_precision(wanted: str, device: str) -> str:
    """Return `bf16` or `fp32`: for `auto`, bf16 where `device` computes it natively."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


@dataclass(frozen=True)
class Numerics:
    """A device and the precision to use on it; weights and statistics stay fp32."""

    device: str  #: cpu or cuda
    precision: str  #: fp32 or bf16

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which networks are run."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")

    def describe(self) -> dict[str, Any]:
        """Return everything that decides the last bit of a score."""
        on_gpu = self.device == "cuda"
        return {
            "device": self.device,
            "device_name": torch.cuda.get_device_name() if on_gpu else platform.machine(),
            "instruction_set": None if on_gpu else torch.backends.cpu.get_cpu_capability(),
            "precision": self.precision,
            "memory_format": "channels_last",
            "threads": torch.get_num_threads(),
            "evaluation_batch": EVALUATION_BATCH,
            "torch": torch.__version__,
        }
