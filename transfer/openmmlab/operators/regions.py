"""Pooling of regions of interest: `(K, 5)` rows of (image index, x1, y1, x2, y2) in input pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from transfer.errors import MissingOp
from transfer.openmmlab.operators.kernels import KERNELS, wide


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoI align (He et al., Mask R-CNN, ICCV 2017): `(B, C, H, W)` → `(K, C, aligned_height, aligned_width)`.

    Raises MissingOp for `pool_mode` 0 (max); 1 is average.
    """
    _average_only(pool_mode)
    size = (aligned_height, aligned_width)
    output.copy_(KERNELS.roi_align(wide(input), wide(rois, input), spatial_scale, *size, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of `roi_align_forward` to its input, of which `grad_input` has the shape."""
    _average_only(pool_mode)
    size = (aligned_height, aligned_width)
    gradients = (wide(grad_output), wide(rois, grad_output))
    grad_input.copy_(
        KERNELS._roi_align_backward(*gradients, spatial_scale, *size, *grad_input.shape, sampling_ratio, aligned)
    )


def _average_only(pool_mode: int) -> None:
    if pool_mode != 1:
        raise MissingOp("RoIAlign with pool_mode='max' needs mmcv's compiled operators; use pool_mode='avg'.")


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """RoI max pooling (Girshick, Fast R-CNN, ICCV 2015), with bins as mmcv cuts them: torchvision rounds RoIs first.

    Writes the maxima and, into `argmax`, their places `y * W + x`; an empty bin gives 0 and -1.
    """
    width = input.shape[3]
    for index, roi in enumerate(wide(rois, input)):
        image = input[int(roi[0])]
        x1, y1, x2, y2 = (roi[1:] + roi.new_tensor([0, 0, 1, 1])) * spatial_scale
        rows, columns = _bins(y1, y2, pooled_height, input.shape[2]), _bins(x1, x2, pooled_width, width)
        along_x, x = image[:, :, None].masked_fill(~columns, -torch.inf).max(-1)  # (C, H, pooled_width)
        value, y = along_x[:, None].masked_fill(~rows[:, :, None], -torch.inf).max(2)
        empty = ~(rows.any(1)[:, None] & columns.any(1))
        output[index] = value.masked_fill(empty, 0)
        argmax[index] = (y * width + x.gather(1, y)).masked_fill(empty, -1)


def _bins(start: Tensor, end: Tensor, count: int, size: int) -> Tensor:
    """Which of `size` pixels belong to which of `count` equal bins from `start` to `end`: `(count, size)` booleans."""
    edges = start + (end - start) / count * torch.arange(count + 1, device=start.device)
    pixels = torch.arange(size, device=start.device)
    return (pixels >= edges[:-1, None].floor()) & (pixels < edges[1:, None].ceil()) & (end > start)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add each bin's gradient to the place of its maximum."""
    flat = grad_input.flatten(2)
    for index, image in enumerate(rois[:, 0].long()):
        places = argmax[index].flatten(1).long()
        flat[image].scatter_add_(1, places.clamp(min=0), grad_output[index].flatten(1) * (places >= 0))
    grad_input.copy_(flat.view_as(grad_input))
