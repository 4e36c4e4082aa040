"""Stretch position embeddings to another grid than the trained one, in each project's way; and fixed positions.

Each way takes the trained grid `(1, C, h, w)` and the wanted `(height, width)`. The way belongs to the
network's own project: at another resolution the choice moves features by about a percent.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def antialiased(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch as timm, OpenCLIP, and DINOv2 with registers do: bicubic with antialiasing."""
    return interpolate(grid, size=size, mode="bicubic", antialias=True)


def scaled(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch as DINO, and DINOv2 without registers, do: bicubic by `(wanted + 0.1) / trained`, not antialiased.

    The tenth keeps rounding from costing a cell (facebookresearch/dino#8).
    """
    factors = [(wanted + 0.1) / trained for wanted, trained in zip(size, grid.shape[-2:], strict=True)]
    return interpolate(grid, scale_factor=factors, mode="bicubic")


def cornered(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch as torchvision's `interpolate_embeddings` does: bicubic with aligned corners."""
    return interpolate(grid, size=size, mode="bicubic", align_corners=True)


def bicubic(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch as Hugging Face and the fine-tuning of MAE, BEiT and others do: bicubic, not antialiased."""
    return interpolate(grid, size=size, mode="bicubic")


def linear(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch as vision_transformer and big_vision do: `scipy.ndimage.zoom` of order 1, which aligns corners."""
    return interpolate(grid, size=size, mode="bilinear", align_corners=True)


INTERPOLATIONS: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "timm": antialiased,
    "dino": scaled,
    "torchvision": cornered,
    "bicubic": bicubic,
    "flax": linear,
}


def sincos2d(size: tuple[int, int], dim: int) -> Tensor:
    """Return big_vision's fixed positions of a grid, `(1, cells, dim)`.

    Sines and cosines of x, then of y (Chen et al., 2021).

    They hold for every grid: nothing is stretched.
    """
    rows, columns = torch.meshgrid(*(torch.arange(side, dtype=torch.float32) for side in size), indexing="ij")
    omega = 10_000.0 ** -(torch.arange(dim // 4, dtype=torch.float32) / max(1, dim // 4 - 1))
    x, y = (axis.flatten()[:, None] * omega for axis in (columns, rows))
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)[None]


def stretch_positions(positions: Tensor, trained: tuple[int, int], wanted: tuple[int, int], way: str) -> Tensor:
    """Stretch `(1, trained cells, C)` to `(1, wanted cells, C)`; untouched where the grids agree."""
    if trained == wanted:
        return positions
    grid = positions.float().reshape(1, *trained, -1).permute(0, 3, 1, 2)
    stretched = INTERPOLATIONS[way](grid, wanted)
    return stretched.permute(0, 2, 3, 1).flatten(1, 2).to(positions.dtype)
