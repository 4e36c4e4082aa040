"""torchvision's compiled kernels, and the number types they take."""

from __future__ import annotations

import torch
import torchvision  # noqa: F401  registers its kernels
from torch import Tensor

KERNELS = torch.ops.torchvision


def wide(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """`tensor` in the type of `like` (default its own), at least float32."""
    reference = tensor if like is None else like
    return tensor.to(torch.promote_types(reference.dtype, torch.float32)).contiguous()
