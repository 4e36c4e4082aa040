"""mmcv's compiled operators by way of torchvision, under the names and signatures of `mmcv._ext` (mmcv/ops/*.py).

As there, results are written into tensors that the caller allocated. Half precision is computed in float32. Boxes are
`(N, 4)` xyxy pixels, RoIs `(K, 5)` rows of (image index, x1, y1, x2, y2) in input pixels; CPU and CUDA alike.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from transfer.errors import MissingOp

_KERNELS = torch.ops.torchvision


def _wide(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """`tensor` in the type of `like` (default its own), at least float32."""
    reference = tensor if like is None else like
    return tensor.to(torch.promote_types(reference.dtype, torch.float32)).contiguous()


# Non-maximum suppression


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the kept boxes, best first; a width is `x2 - x1 + offset`."""
    boxes = _wide(boxes)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return _KERNELS.nms(boxes, _wide(scores, boxes), iou_threshold)


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
    decayed = _wide(scores).clone()
    corners = _wide(boxes)
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


# Regions of interest


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
    output.copy_(_KERNELS.roi_align(_wide(input), _wide(rois, input), spatial_scale, *size, sampling_ratio, aligned))


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
    gradients = (_wide(grad_output), _wide(rois, grad_output))
    grad_input.copy_(
        _KERNELS._roi_align_backward(*gradients, spatial_scale, *size, *grad_input.shape, sampling_ratio, aligned)
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
    for index, roi in enumerate(_wide(rois, input)):
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


# Deformable convolution (Dai et al., ICCV 2017; with a mask, Zhu et al., CVPR 2019)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """`(B, C, H, W)` → `output`; `offset` is `(B, 2 * deformable_group * kH * kW, H', W')`, (y, x) pairs in pixels."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_deform(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Gradients to the input and to the offsets."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    gradients = _deform_backward(gradOutput, input, weight, offset, None, None, geometry)
    gradInput.copy_(gradients[0])
    gradOffset.copy_(gradients[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add `scale` times the gradient to the weight."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    gradients = _deform_backward(gradOutput, input, gradWeight, offset, None, None, geometry)
    gradWeight.add_(gradients[1], alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """As `deform_conv_forward`, each sample times `mask` `(B, deformable_group * kernel_h * kernel_w, H', W')`."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    output.copy_(_deform(input, weight, offset, mask, bias if with_bias else None, geometry))


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
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """All gradients of `modulated_deform_conv_forward`."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    bias_or_none = bias if with_bias else None
    gradients = _deform_backward(grad_output, input, weight, offset, mask, bias_or_none, geometry)
    targets = (grad_input, grad_weight, grad_offset, grad_mask)
    for target, gradient in zip(targets, gradients, strict=False):
        target.copy_(gradient)
    if with_bias:
        grad_bias.copy_(gradients[4])


def _deform(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, geometry: tuple[int, ...]
) -> Tensor:
    tensors = _deform_tensors(input, weight, offset, mask, bias)
    return _KERNELS.deform_conv2d(*tensors, *geometry, mask is not None)


def _deform_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """Gradients to the input, weight, offset, mask and bias."""
    tensors = _deform_tensors(input, weight, offset, mask, bias)
    return _KERNELS._deform_conv2d_backward(_wide(grad_output, input), *tensors, *geometry, mask is not None)


def _deform_tensors(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """What torchvision wants: all of one type, an unused mask and a zero bias where there is none."""
    mask = input.new_zeros(len(input), 1) if mask is None else mask
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return tuple(_wide(tensor, input) for tensor in (input, weight, offset, mask, bias))


# Focal loss (Lin et al., ICCV 2017)


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Loss of each of `(N, C)` logits; `target` `(N,)` is a class or C for background; `weight` `(C,)` or empty."""
    output.copy_(_focal_loss(_wide(input), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Gradient of the losses' sum to the logits."""
    with torch.enable_grad():
        logits = _wide(input.detach()).requires_grad_()
        loss = _focal_loss(logits, target, weight, gamma, alpha).sum()
    grad_input.copy_(torch.autograd.grad(loss, logits)[0])


def _focal_loss(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    classes = logits.shape[1]
    wanted = functional.one_hot(target, classes + 1)[:, :classes].to(logits)
    loss = sigmoid_focal_loss(logits, wanted, alpha, gamma)
    if weight.numel() == 0:
        return loss
    return loss * torch.cat([_wide(weight, logits), logits.new_ones(1)])[target][:, None]


# What mmcv says about its build


def get_compiler_version() -> str:
    """There was no compiler."""
    return "none (operators by torchvision)"


def get_compiling_cuda_version() -> str:
    """The CUDA version torch was built for."""
    return torch.version.cuda or "not available"


_ALL = (
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
    get_compiler_version,
    get_compiling_cuda_version,
)
OPERATORS = {operator.__name__: operator for operator in _ALL}
"""All that the stand-in for `mmcv._ext` offers, by name."""
