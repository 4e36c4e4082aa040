"""Non-maximum suppression. Boxes are `(N, 4)` xyxy pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from transfer.openmmlab.operators.kernels import KERNELS, wide


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the kept boxes, best first; a width is `x2 - x1 + offset`."""
    boxes = wide(boxes)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return KERNELS.nms(boxes, wide(scores, boxes), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., ICCV 2017): decay the scores of boxes that overlap a better one.

    `method` 0 removes (plain NMS), 1 is linear, 2 Gaussian. Writes `(x1, y1, x2, y2, decayed score)` into the first
    rows of `dets` in order of selection and returns the selected boxes' indices.
    """
    left = torch.arange(len(boxes))
    decayed = wide(scores).clone()
    corners = wide(boxes)
    chosen: list[Tensor] = []
    while len(left):
        best = left[decayed[left].argmax()]
        dets[len(chosen), :4], dets[len(chosen), 4] = boxes[best], decayed[best]
        chosen.append(best)
        left = left[left != best]
        decayed[left] *= _decay(_overlaps(corners[best], corners[left], offset), iou_threshold, sigma, method)
        left = left[decayed[left] >= min_score]
    return torch.stack(chosen) if chosen else left


def _overlaps(box: Tensor, others: Tensor, offset: int) -> Tensor:
    """IoU of `(4,)` with each of `(N, 4)`."""
    sides = torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2]) + offset
    inside = sides.clamp(min=0).prod(1)
    area, areas = (box[2:] - box[:2] + offset).prod(), (others[:, 2:] - others[:, :2] + offset).prod(1)
    return inside / (area + areas - inside)


def _decay(overlaps: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    if method == 2:
        return torch.exp(-(overlaps**2) / sigma)
    weight = 1 - overlaps if method == 1 else torch.zeros_like(overlaps)
    return torch.where(overlaps >= iou_threshold, weight, 1.0)
