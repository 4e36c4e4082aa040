"""Each operator against its published definition in plain loops, or against torch's own differentiable pieces."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv import ops
from torch import Tensor
from torch.nn import functional

from transfer.errors import MissingOp

torch.set_default_dtype(torch.float32)
few = settings(max_examples=60, deadline=None)
Box = tuple[int, int, int, int]
a_box = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 15), st.integers(1, 15))


@st.composite
def scored_boxes(draw: Callable) -> tuple[Tensor, Tensor]:
    """Up to 12 boxes with scores that differ, so that the order is defined."""
    boxes = draw(st.lists(a_box, min_size=1, max_size=12))
    ranks = draw(st.permutations(range(len(boxes))))
    corners = [(x, y, x + w, y + h) for x, y, w, h in boxes]
    return torch.tensor(corners, dtype=torch.float32), torch.tensor([(rank + 1) / 20 for rank in ranks])


def overlap(first: Tensor, second: Tensor, offset: int) -> float:
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = first.tolist(), second.tolist()
    width, height = min(ax2, bx2) - max(ax1, bx1) + offset, min(ay2, by2) - max(ay1, by1) + offset
    inside = max(width, 0) * max(height, 0)
    areas = (ax2 - ax1 + offset) * (ay2 - ay1 + offset) + (bx2 - bx1 + offset) * (by2 - by1 + offset)
    return inside / (areas - inside)


# Non-maximum suppression


@few
@given(scored_boxes(), st.sampled_from([0.301, 0.517, 0.743]), st.sampled_from([0, 1]))
def test_nms_keeps_what_no_better_box_covers(data: tuple[Tensor, Tensor], threshold: float, offset: int) -> None:
    boxes, scores = data
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[index], boxes[other], offset) <= threshold for other in kept):
            kept.append(index)
    dets, indices = ops.nms(boxes, scores, threshold, offset)
    assert indices.tolist() == kept
    assert torch.equal(dets, torch.cat([boxes[kept], scores[kept, None]], 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_nms_takes_other_types(dtype: torch.dtype) -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], dtype=dtype)
    assert ops.nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5)[1].tolist() == [1, 2]
    assert ops.nms(boxes[:0], torch.zeros(0), 0.5)[1].tolist() == []


def softly(boxes: Tensor, scores: Tensor, decay: Callable[[float], float], least: float, offset: int) -> list:
    """Bodla et al., figure 2."""
    left = {index: float(score) for index, score in enumerate(scores)}
    chosen = []
    while left:
        best = max(left, key=lambda index: left[index])
        chosen.append((best, left.pop(best)))
        left = {index: score * decay(overlap(boxes[best], boxes[index], offset)) for index, score in left.items()}
        left = {index: score for index, score in left.items() if score >= least}
    return chosen


@few
@given(scored_boxes(), st.sampled_from(["naive", "linear", "gaussian"]), st.sampled_from([0, 1]))
def test_soft_nms_decays_scores(data: tuple[Tensor, Tensor], method: str, offset: int) -> None:
    boxes, scores = data
    threshold, sigma, least = 0.301, 0.5, 0.0123
    decays = {
        "naive": lambda iou: float(iou < threshold),
        "linear": lambda iou: 1 - iou if iou >= threshold else 1.0,
        "gaussian": lambda iou: math.exp(-(iou**2) / sigma),
    }
    expected = softly(boxes, scores, decays[method], least, offset)
    dets, indices = ops.soft_nms(boxes, scores, threshold, sigma, least, method, offset)
    assert dets[:, 4].tolist() == pytest.approx([score for _, score in expected], rel=1e-5)
    if len({round(score, 5) for _, score in expected}) == len(expected):  # decayed scores may meet
        assert indices.tolist() == [index for index, _ in expected]
    assert torch.equal(dets[:, :4], boxes[indices])


def test_nms_by_class() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10]])
    kept = ops.batched_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1]), {"iou_threshold": 0.5})[1]
    assert kept.tolist() == [0, 2]


# Regions of interest

ROIS = torch.tensor([[0.0, 1.3, 2.1, 13.0, 17.7], [1.0, -3.0, 0.2, 30.0, 9.0], [1.0, 6.0, 6.0, 6.5, 6.25]]).double()


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """Value at a point; up to one pixel outside the edge pixel counts on."""
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    dy, dx = y - top, x - left
    corners = image[:, top : top + 2, left : left + 2]
    return np.einsum("cij,i,j->c", corners, [1 - dy, dy], [1 - dx, dx])


def aligned_pooling(images: Tensor, rois: Tensor, size: int, scale: float, ratio: int, aligned: bool) -> Tensor:
    """Mask R-CNN, section 3, sample by sample."""
    output = np.zeros((len(rois), images.shape[1], size, size))
    for k, (index, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (value * scale - 0.5 * aligned for value in corners)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        rows, columns = (ratio, ratio) if ratio else (math.ceil(height / size), math.ceil(width / size))
        for i, j, a, b in np.ndindex(size, size, rows, columns):
            y, x = y1 + (i + (a + 0.5) / rows) * height / size, x1 + (j + (b + 0.5) / columns) * width / size
            output[k, :, i, j] += bilinear(images[int(index)].numpy(), y, x) / (rows * columns)
    return torch.from_numpy(output)


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_values_and_gradients(ratio: int, aligned: bool) -> None:
    images = torch.randn(2, 3, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pooled = ops.roi_align(images, ROIS, 3, 0.5, ratio, "avg", aligned)
    torch.testing.assert_close(pooled, aligned_pooling(images, ROIS, 3, 0.5, ratio, aligned))
    images.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.roi_align(x, ROIS, 2, 0.5, ratio, "avg", aligned), images)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_roi_align_computes_half_precision_in_single(dtype: torch.dtype) -> None:
    images = torch.randn(2, 3, 9, 12, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    exact = images.detach().float().requires_grad_()
    rois = ROIS.to(dtype)
    pooled, wide = ops.roi_align(images, rois, 3, 0.5), ops.roi_align(exact, rois.float(), 3, 0.5)
    assert torch.equal(pooled, wide.to(dtype))
    pooled.sum().backward()
    wide.sum().backward()
    assert images.grad is not None and exact.grad is not None
    assert torch.equal(images.grad, exact.grad.to(dtype))


def test_roi_align_of_a_ramp_is_the_middle_of_each_bin() -> None:
    """Rows and columns differ in number, so that they cannot be mistaken for each other."""
    down, right = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    pooled = ops.RoIAlign((2, 4), 0.5, 3)(torch.stack([down, right])[None], torch.tensor([[0.0, 8, 4, 40, 20]]))
    rows, columns = torch.tensor([3.5, 7.5]), torch.tensor([5.5, 9.5, 13.5, 17.5])
    torch.testing.assert_close(pooled[0], torch.stack([rows[:, None].expand(2, 4), columns.expand(2, 4)]))


def test_roi_align_of_nothing_is_empty_and_differentiable() -> None:
    images = torch.randn(1, 3, 8, 8, requires_grad=True)
    pooled = ops.roi_align(images, torch.zeros(0, 5), 7)
    pooled.sum().backward()
    assert pooled.shape == (0, 3, 7, 7)
    assert images.grad is not None and not images.grad.any()


def test_max_roi_align_says_what_to_do() -> None:
    with pytest.raises(MissingOp, match="pool_mode='avg'"):
        ops.roi_align(torch.zeros(1, 1, 4, 4), ROIS[:1].float(), 2, 1.0, 0, "max")


def max_pooling(images: Tensor, rois: Tensor, size: int, scale: float) -> Tensor:
    """Fast R-CNN, section 2.1, with mmcv's unrounded bins."""
    output = torch.zeros(len(rois), images.shape[1], size, size, dtype=images.dtype)
    for k, (index, x1, y1, x2, y2) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        for i, j in np.ndindex(size, size):
            top, bottom = y1 + i * (y2 - y1) / size, y1 + (i + 1) * (y2 - y1) / size
            left, right = x1 + j * (x2 - x1) / size, x1 + (j + 1) * (x2 - x1) / size
            rows = slice(max(math.floor(top), 0), max(math.ceil(bottom), 0))
            columns = slice(max(math.floor(left), 0), max(math.ceil(right), 0))
            part = images[int(index), :, rows, columns].flatten(1)
            if part.numel():
                output[k, :, i, j] = part.max(1).values
    return output


def test_roi_pool_values_and_gradients() -> None:
    images = torch.randn(2, 3, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 5
    outside = torch.tensor([[0.0, 40.0, 40.0, 50.0, 50.0]]).double()
    rois = torch.cat([ROIS, outside])
    pooled = ops.roi_pool(images, rois, 3, 0.5)
    torch.testing.assert_close(pooled, max_pooling(images, rois, 3, 0.5))
    assert not pooled[3].any()
    images.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.roi_pool(x, rois, 2, 0.5), images)


# Deformable convolution


def tap(images: Tensor, offset: Tensor, row: int, column: int, stride: int, padding: int, dilation: int) -> Tensor:
    """`images` at one kernel position of every output pixel, moved by `offset` `(B, 2, H', W')`."""
    height, width = images.shape[2:]
    ys = torch.arange(offset.shape[2])[:, None] * stride - padding + row * dilation + offset[:, 0]
    xs = torch.arange(offset.shape[3]) * stride - padding + column * dilation + offset[:, 1]
    grid = torch.stack([xs * 2 / (width - 1) - 1, ys * 2 / (height - 1) - 1], -1)
    return functional.grid_sample(images, grid, align_corners=True)


def deformed(
    images: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor,
    geometry: tuple[int, int, int],
    groups: int,
    parts: int,
) -> Tensor:
    """Zhu et al. (2019), equation 1, by grid sampling: torch differentiates it."""
    size = weight.shape[2]
    offsets = offset.unflatten(1, (parts, size * size, 2))
    masks = mask.unflatten(1, (parts, size * size))
    output = torch.zeros((), dtype=images.dtype)
    for k in range(size * size):
        sampled = torch.cat(
            [
                tap(part, offsets[:, g, k], k // size, k % size, *geometry) * masks[:, g, k, None]
                for g, part in enumerate(images.chunk(parts, 1))
            ],
            1,
        )
        output = output + functional.conv2d(sampled, weight[:, :, k // size, k % size, None, None], groups=groups)
    return output


@pytest.fixture
def deformable() -> tuple[Tensor, ...]:
    """Images, offsets, weight, mask and bias for a 3x3 kernel, stride 2, 2 groups, 2 deformable groups."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 4, 9, 8), (2, 2 * 2 * 9, 5, 4), (6, 2, 3, 3), (2, 2 * 9, 5, 4), (6,))
    return tuple(torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes)


def assert_same_gradients(actual: Tensor, expected: Tensor, inputs: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(actual, expected)
    target = torch.randn(expected.shape, dtype=expected.dtype, generator=torch.Generator().manual_seed(1))
    pair = (torch.autograd.grad((result * target).sum(), inputs) for result in (actual, expected))
    for ours, reference in zip(*pair, strict=True):
        torch.testing.assert_close(ours, reference)


def test_deformable_convolution(deformable: tuple[Tensor, ...]) -> None:
    images, offset, weight, mask, _ = deformable
    expected = deformed(images, offset, weight, torch.ones_like(mask), (2, 1, 1), 2, 2)
    actual = ops.deform_conv2d(images, offset, weight, 2, 1, 1, 2, 2)
    assert_same_gradients(actual, expected, (images, offset, weight))


@pytest.mark.parametrize("with_bias", [True, False])
def test_modulated_deformable_convolution(deformable: tuple[Tensor, ...], with_bias: bool) -> None:
    images, offset, weight, mask, bias = deformable
    expected = deformed(images, offset, weight, mask, (2, 1, 1), 2, 2)
    if with_bias:
        expected = expected + bias[:, None, None]
    actual = ops.modulated_deform_conv2d(images, offset, mask, weight, bias if with_bias else None, 2, 1, 1, 2, 2)
    assert_same_gradients(actual, expected, deformable if with_bias else deformable[:4])


@pytest.mark.parametrize("modulated", [True, False])
def test_without_offsets_it_is_convolution(modulated: bool) -> None:
    """Vertical and horizontal geometry differ, so that they cannot be mistaken for each other."""
    geometry = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    layer = (ops.ModulatedDeformConv2d if modulated else ops.DeformConv2d)(
        4, 6, (3, 2), bias=False, **geometry
    ).double()
    images = torch.randn(2, 4, 11, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    expected = functional.conv2d(images, layer.weight, **geometry)
    offset = expected.new_zeros(2, 2 * 6, *expected.shape[2:])
    actual = layer(images, offset, torch.ones_like(offset[:, ::2])) if modulated else layer(images, offset)
    assert_same_gradients(actual, expected, (images, layer.weight))


def test_deformable_convolution_in_half_precision(deformable: tuple[Tensor, ...]) -> None:
    images, offset, weight, _, _ = (tensor.detach().half() for tensor in deformable)
    wide = ops.deform_conv2d(images.float(), offset.float(), weight.float(), 2, 1, 1, 2, 2)
    assert torch.equal(ops.deform_conv2d(images, offset, weight, 2, 1, 1, 2, 2), wide.half())


# Focal loss


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_focal_loss(weighted: bool, reduction: str) -> None:
    logits = (torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) * 4).double().requires_grad_()
    target, weight = torch.tensor([0, 1, 2, 3, -1, 0]), torch.tensor([0.5, 2.0, 3.0]).double()
    p, (gamma, alpha) = logits.sigmoid(), (2.0, 0.25)
    positive = -alpha * (1 - p) ** gamma * p.log()
    negative = -(1 - alpha) * p**gamma * (1 - p).log()
    losses = torch.where(target[:, None] == torch.arange(3), positive, negative)
    if weighted:
        losses = losses * torch.tensor([0.5, 2.0, 3.0, 1.0]).double()[target][:, None]
    expected = {"none": losses, "sum": losses.sum(), "mean": losses.sum() / 6}[reduction]
    actual = ops.sigmoid_focal_loss(logits, target, gamma, alpha, weight if weighted else None, reduction)
    if reduction == "none":
        torch.testing.assert_close(actual, expected)
    else:
        assert_same_gradients(actual, expected, (logits,))
