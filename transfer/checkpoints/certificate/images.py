"""Draw images with the statistics of photographs from a seed: nothing is downloaded, nothing is shipped.

Dead leaves (Lee, Mumford and Huang, IJCV 2001): opaque discs whose radii follow a power law have the edges, the
1/f amplitudes of natural images; their number and sizes are such that neighbours 1 to 16 pixels apart differ as much
as in photographs of 256 pixels. Colours are drawn so that channels have ImageNet's means and standard deviations, and
correlate as they do in photographs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD

CORRELATIONS = ((1.0, 0.93, 0.82), (0.93, 1.0, 0.94), (0.82, 0.94, 1.0))
"""Correlations of red, green and blue over the pixels of photographs; COCO's and flowers' are 0.8 to 0.95."""

LEAVES = 30
SMALLEST, LARGEST = 20.0, 96.0
"""Radii of leaves, in pixels."""

TEXTURE = 0.02
"""Standard deviation of the noise on a leaf, in units of the range."""

FINER = 2
"""Leaves are drawn at this many times the size and averaged, which softens their edges as a lens does."""


def natural_images(count: int, size: int, seed: int = 0) -> Tensor:
    """Draw `(count, 3, size, size)` RGB, 0 to 1."""
    draw = torch.Generator().manual_seed(seed)
    return torch.stack([_dead_leaves(size, draw) for _ in range(count)])


def _dead_leaves(size: int, draw: torch.Generator) -> Tensor:
    """Draw one image: every pixel shows the first disc that covers it, discs further down are never seen."""
    fine = size * FINER
    rows, columns = _distances(fine, draw)
    covered = rows[:, :, None] + columns[:, None, :] <= _radii(draw)[:, None, None] ** 2
    leaves = _colours(LEAVES, draw)[covered.byte().argmax(0)].permute(2, 0, 1)
    noise = torch.randn(1, size, size, generator=draw) * TEXTURE
    image: Tensor = (avg_pool2d(leaves, FINER) + noise).clamp(0, 1)
    return image


def _distances(fine: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return squared distances of every row and column from every centre; centres may lie outside."""
    centres = (torch.rand(LEAVES, 2, generator=draw) * 1.4 - 0.2) * fine
    cells = torch.arange(fine, dtype=torch.float32)
    return (cells - centres[:, :1]) ** 2, (cells - centres[:, 1:]) ** 2


def _radii(draw: torch.Generator) -> Tensor:
    """Draw radii with density ~ r^-3 from the smallest to the largest, by inversion; the last leaf is the ground."""
    shares = torch.rand(LEAVES, generator=draw)
    radii = FINER / torch.sqrt(SMALLEST**-2 - shares * (SMALLEST**-2 - LARGEST**-2))
    radii[-1] = 1e6
    return radii


def _colours(count: int, draw: torch.Generator) -> Tensor:
    factor: Tensor = torch.linalg.cholesky(torch.tensor(CORRELATIONS))
    normal = torch.randn(count, 3, generator=draw) @ factor.T
    return torch.tensor(IMAGENET_MEAN) + normal * torch.tensor(IMAGENET_STD)
