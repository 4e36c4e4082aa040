"""Joints as discs and offsets towards them, and joints again by Hough voting.

Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild (G-RMI), CVPR 2017, section 3.2. Positions
are (x, y) in pixels of a person's crop; fields have one cell for each pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))


def pixels_of(field: Tensor) -> Tensor:
    """`(..., H, W)` → `(2, H, W)`: each pixel's own (x, y)."""
    height, width = field.shape[-2:]
    x, y = torch.arange(width).to(field), torch.arange(height).to(field)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def field_losses(
    logits: Tensor, offsets: Tensor, joints: Tensor, labelled: Tensor, radius: float
) -> tuple[Tensor, Tensor]:
    """Logistic loss of the discs, and Huber loss of the lengths of the offsets' errors inside them.

    `logits` `(B, K, H, W)`, `offsets` `(B, K, 2, H, W)`, `joints` `(B, K, 2)`, `labelled` `(B, K)` of 0 and 1. Both are
    sums over the pixels of labelled joints, as in the paper, divided by B K H W: their ratio is the paper's.
    """
    towards = joints[..., None, None] - pixels_of(logits)
    inside = (towards.norm(dim=-3) <= radius).to(logits)
    counted = labelled[..., None, None]
    logistic = functional.binary_cross_entropy_with_logits(logits, inside, reduction="none") * counted
    errors = (offsets - towards).norm(dim=-3)
    huber = functional.huber_loss(errors, torch.zeros_like(errors), reduction="none") * inside * counted
    return logistic.sum() / logits.numel(), huber.sum() / logits.numel()


def vote(probabilities: Tensor, offsets: Tensor, radius: float) -> Tensor:
    """`(B, K, H, W)` and `(B, K, 2, H, W)` → `(B, K, H, W)`: each pixel's vote at the place that it points to.

    A vote weighs its pixel's probability over the disc's area, and is shared by the four pixels around its place
    (bilinear kernel); votes beyond the border are lost. The votes of a perfect disc sum up to about 1.
    """
    height, width = probabilities.shape[-2:]
    x, y = (pixels_of(probabilities) + offsets).unbind(-3)
    votes = torch.zeros_like(probabilities).flatten(-2)
    for right, below in CORNERS:
        column, row = x.floor() + right, y.floor() + below
        held = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weights = (1 - (x - column).abs()) * (1 - (y - row).abs()) * probabilities * held
        index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        votes.scatter_add_(-1, index.long().flatten(-2), weights.flatten(-2))
    return votes.reshape(probabilities.shape) / (math.pi * radius**2)


def peaks(votes: Tensor) -> tuple[Tensor, Tensor]:
    """`(B, K, H, W)` → places `(B, K, 2)` and heights `(B, K)` of the maxima.

    A place is the centre of mass of the 3x3 pixels around the maximum: where the votes of one point were shared by
    pixels, that point.
    """
    width = votes.shape[-1]
    heights, index = votes.flatten(-2).max(-1)
    middle = torch.stack([index % width, index // width], -1)
    step = torch.arange(-1, 2, device=votes.device)
    around = torch.stack(torch.meshgrid(step, step, indexing="xy"), -1).flatten(0, 1)
    x, y = (middle[..., None, :] + 1 + around).unbind(-1)  # of the map with a border of zeros
    masses = functional.pad(votes, (1, 1, 1, 1)).flatten(-2).gather(-1, y * (width + 2) + x)
    shift = (masses[..., None] * around).sum(-2) / masses.sum(-1, keepdim=True).clamp(min=1e-12)
    return middle + shift, heights
