"""mmcv's operators in terms of torchvision's, with mmcv's own signatures (mmcv/ops/*.py call them).

Boxes are `(N, 4)` xyxy pixels, regions `(N, 5)` of image index and xyxy; results are written into the tensors that
mmcv allocated, as its compiled functions do.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torchvision
from torch import Tensor

from transfer.errors import MissingOp

MAX, AVERAGE = 0, 1
"""Values of `pool_mode`."""


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices kept, best first. `offset` 1 counts the last pixel as inside, as boxes of integer pixels did."""
    corners = bboxes.float()
    if offset:
        corners = torch.cat([corners[:, :2], corners[:, 2:] + offset], dim=1)
    kept: Tensor = torchvision.ops.nms(corners, scores.float(), iou_threshold)
    return kept


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
    """Soft-NMS (Bodla et al., ICCV 2017): decayed scores into `dets` `(N, 5)`; `method` 0 hard, 1 linear, 2 gaussian."""
    indices = torch.arange(len(boxes))
    remaining, order = scores.clone(), []
    while len(indices):
        best = int(remaining.argmax())
        dets[len(order), :4], dets[len(order), 4] = boxes[indices[best]], remaining[best]
        order.append(int(indices[best]))
        overlap = _overlap(boxes[indices[best]], boxes[indices], offset)
        decayed = remaining * _decay(overlap, iou_threshold, sigma, method)
        keep = decayed >= min_score
        keep[best] = False
        indices, remaining = indices[keep], decayed[keep]
    return torch.tensor(order, dtype=torch.long)


def _overlap(box: Tensor, others: Tensor, offset: int) -> Tensor:
    far = torch.tensor([0, 0, offset, offset], dtype=others.dtype)
    overlap: Tensor = torchvision.ops.box_iou((box + far)[None], others + far)[0]
    return overlap


def _decay(overlap: Tensor, threshold: float, sigma: float, method: int) -> Tensor:
    if method == 2:
        return torch.exp(-(overlap**2) / sigma)
    above = overlap >= threshold
    return torch.where(above, 1 - overlap if method == 1 else torch.zeros_like(overlap), torch.ones_like(overlap))


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
    """RoI align by bilinear averages (He et al., Mask R-CNN, 2017). Half precision is computed in float32."""
    _only_average(pool_mode)
    size = (aligned_height, aligned_width)
    found = torchvision.ops.roi_align(input.float(), rois.float(), size, spatial_scale, sampling_ratio, aligned)
    output.copy_(found)


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
    """Gradient with respect to the feature map."""
    _only_average(pool_mode)
    size = (aligned_height, aligned_width)
    found = torch.ops.torchvision._roi_align_backward(
        grad_output.float(), rois.float(), spatial_scale, *size, *grad_input.shape, sampling_ratio, aligned
    )
    grad_input.copy_(found)


def _only_average(pool_mode: int) -> None:
    if pool_mode != AVERAGE:
        raise MissingOp("roi_align with pool_mode='max' needs compiled mmcv; use pool_mode='avg' (the default).")


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """RoI max pooling (Girshick, Fast R-CNN, 2015)."""
    found, where = torch.ops.torchvision.roi_pool(
        input.float(), rois.float(), spatial_scale, pooled_height, pooled_width
    )
    output.copy_(found)
    argmax.copy_(where)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Gradient with respect to the feature map."""
    size = (pooled_height, pooled_width)
    found = torch.ops.torchvision._roi_pool_backward(
        grad_output.float(), rois.float(), argmax, spatial_scale, *size, *grad_input.shape
    )
    grad_input.copy_(found)


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, *_: Tensor, **geometry: Any
) -> None:
    """Deformable convolution (Dai et al., ICCV 2017); `offset` holds (y, x) pairs."""
    output.copy_(_deform(input, offset, weight, None, None, _plain_geometry(geometry)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    *_: Tensor,
    **geometry: Any,
) -> None:
    """Gradients with respect to the map and the offsets."""
    sources = [input.detach().requires_grad_(), offset.detach().requires_grad_()]
    with torch.enable_grad():
        output = _deform(*sources, weight, None, None, _plain_geometry(geometry))
    for target, gradient in zip(
        (grad_input, grad_offset), torch.autograd.grad(output, sources, grad_output), strict=True
    ):
        target.copy_(gradient)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    *_: Tensor,
    scale: float,
    kH: int,  # noqa: N803
    kW: int,  # noqa: N803
    **geometry: Any,
) -> None:
    """Gradient with respect to the kernel, added to `grad_weight`."""
    weight = torch.zeros_like(grad_weight).requires_grad_()
    with torch.enable_grad():
        output = _deform(input, offset, weight, None, None, _plain_geometry(geometry))
    grad_weight.add_(torch.autograd.grad(output, weight, grad_output)[0], alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **geometry: Any,
) -> None:
    """Deformable convolution with a weight for each sample (Zhu et al., CVPR 2019)."""
    output.copy_(_deform(input, offset, weight, bias if with_bias else None, mask, _modulated_geometry(geometry)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **geometry: Any,
) -> None:
    """Gradients with respect to everything, added to the given tensors."""
    sources = [tensor.detach().requires_grad_() for tensor in (input, offset, weight, bias, mask)]
    targets = [grad_input, grad_offset, grad_weight, grad_bias, grad_mask]
    if not with_bias:
        sources[3].requires_grad_(False)
    with torch.enable_grad():
        at, off, kernel, shift, share = sources
        output = _deform(at, off, kernel, shift if with_bias else None, share, _modulated_geometry(geometry))
    wanted = [(source, target) for source, target in zip(sources, targets, strict=True) if source.requires_grad]
    gradients = torch.autograd.grad(output, [source for source, _ in wanted], grad_output)
    for (_, target), gradient in zip(wanted, gradients, strict=True):
        target.add_(gradient)


Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def _deform(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None, geometry: Geometry
) -> Tensor:
    stride, padding, dilation = geometry
    output: Tensor = torchvision.ops.deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)
    return output


def _plain_geometry(given: dict[str, Any]) -> Geometry:
    """Stride, padding and dilation as (y, x), from mmcv's names."""
    stride, padding, dilation = ((given[f"{name}H"], given[f"{name}W"]) for name in ("d", "pad", "dilation"))
    return stride, padding, dilation


def _modulated_geometry(given: dict[str, Any]) -> Geometry:
    stride, padding, dilation = ((given[f"{n}_h"], given[f"{n}_w"]) for n in ("stride", "pad", "dilation"))
    return stride, padding, dilation


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al., ICCV 2017) of logits `(N, C)` and classes `(N,)`, C for background, unreduced."""
    output.copy_(_focal(input, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Gradient of the summed loss with respect to the logits."""
    logits = input.detach().requires_grad_()
    with torch.enable_grad():
        loss = _focal(logits, target, weight, gamma, alpha).sum()
    grad_input.copy_(torch.autograd.grad(loss, logits)[0])


def _focal(input: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    classes = input.shape[1]
    hot = torch.nn.functional.one_hot(target, classes + 1)[:, :classes].to(input.dtype)
    loss: Tensor = torchvision.ops.sigmoid_focal_loss(input, hot, alpha, gamma, reduction="none")
    return loss * weight[target][:, None] if math.prod(weight.shape) else loss


OPERATORS = (
    nms,
    softnms,
    roi_align_forward,
    roi_align_backward,
    roi_pool_forward,
    roi_pool_backward,
    deform_conv_forward,
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    modulated_deform_conv_forward,
    modulated_deform_conv_backward,
    sigmoid_focal_loss_forward,
    sigmoid_focal_loss_backward,
)
