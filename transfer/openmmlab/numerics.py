"""How numbers are computed on this machine: the precision of float32 products, and the memory format of maps."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

NEW = hasattr(torch.backends, "fp32_precision")
"""torch 2.9 and later tell backends apart, and refuse to read their older switches beside the new ones."""


def set_precision() -> None:
    """Multiply and convolve float32 tensors with TF32 on GPUs, in float32 on CPUs, for the rest of the process.

    torch's default is TF32 for convolutions alone, which trains ViTs without tensor cores and mixes two precisions in
    one detector. `set_float32_matmul_precision("high")` is not used: it lets oneDNN round on CPUs, too.
    """
    if NEW:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        torch.backends.cudnn.conv.fp32_precision = "tf32"  # type: ignore[attr-defined]
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]
        torch.backends.mkldnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    else:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


def precision() -> dict[str, Any]:
    """Return what is in effect on the device that trains, by operation: `tf32`, `ieee` (float32), `bf16`, `none`."""
    backends = torch.backends
    if not NEW:
        rounded = torch.cuda.is_available()
        flags = {"matmul": backends.cuda.matmul.allow_tf32, "convolution": backends.cudnn.allow_tf32}
        return {name: "tf32" if rounded and flag else "ieee" for name, flag in flags.items()}
    if torch.cuda.is_available():
        found = backends.cuda.matmul, backends.cudnn.conv  # type: ignore[attr-defined]
    else:
        found = backends.mkldnn.matmul, backends.mkldnn.conv  # type: ignore[attr-defined]
    return dict(zip(("matmul", "convolution"), (each.fp32_precision for each in found), strict=True))


def lay_out(model: Module) -> Module:
    """Store the weights of convolutions channels last on GPUs, in place; their maps follow, whatever the images are.

    Convolutions of tensor cores read such maps without a copy. Results change by rounding only. On CPUs the gain was
    within noise, and the statistics of batch normalisation were 1e-5 off instead of 1e-7: there nothing changes.
    """
    return model.to(memory_format=torch.channels_last) if torch.cuda.is_available() else model
