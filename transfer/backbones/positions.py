"""How networks stretch their position embeddings to another grid than the trained one.

Each function takes the trained grid `(1, C, h, w)` and the wanted `(height, width)`. The way belongs to the
network's own project: at another resolution the choice moves features by about a percent.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import interpolate


def antialiased(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """timm's: bicubic with antialiasing."""
    return interpolate(grid, size=size, mode="bicubic", antialias=True)


def scaled(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """DINO's: bicubic by the scale factor `(wanted + 0.1) / trained` (facebookresearch/dino#8), not antialiased."""
    factors = [(wanted + 0.1) / trained for wanted, trained in zip(size, grid.shape[-2:], strict=True)]
    return interpolate(grid, scale_factor=factors, mode="bicubic")


def cornered(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """torchvision's `interpolate_embeddings`: bicubic with aligned corners."""
    return interpolate(grid, size=size, mode="bicubic", align_corners=True)


INTERPOLATIONS: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "timm": antialiased,
    "dino": scaled,
    "torchvision": cornered,
}


def stretch_positions(positions: Tensor, trained: tuple[int, int], wanted: tuple[int, int], way: str) -> Tensor:
    """`(1, trained cells, C)` → `(1, wanted cells, C)`, untouched where the grids agree."""
    if trained == wanted:
        return positions
    grid = positions.float().reshape(1, *trained, -1).permute(0, 3, 1, 2)
    stretched = INTERPOLATIONS[way](grid, wanted)
    return stretched.permute(0, 2, 3, 1).flatten(1, 2).to(positions.dtype)
