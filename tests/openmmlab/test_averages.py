"""Two halves of a step, each a process's, against the whole step under OpenMMLab's own losses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from mmdet.models.dense_heads import ATSSHead, FCOSHead, RetinaHead, RPNHead
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.models.losses import KeypointMSELoss
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from tests.openmmlab.processes import in_two_threads
from transfer.openmmlab.averages import average_over_steps, unknown_averages
from transfer.openmmlab.stack import quiet

SIDE, CHANNELS, CLASSES = 128, 8, 3
STRIDES = (8, 16, 32)
OBJECTS = {
    "many and one": ([[8.0, 8, 60, 70], [50, 60, 120, 120]], [[30.0, 30, 90, 100]] * 2, [], [[4.0, 4, 40, 36]]),
    "one half without": ([[8.0, 8, 60, 70]], [[50.0, 60, 120, 120], [8, 8, 30, 40]], [], []),
    "none": ([], [], [], []),
    "one small": ([], [], [[8.5, 8.5, 15.5, 15.5]], []),
}  # fmt: skip
"""Boxes of the four images of a step; each process has two of them."""

MAX_IOU = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "min_pos_iou": 0.0}
SAMPLER = {"type": "PositionSampler", "num": 32, "pos_fraction": 0.5}
ANCHORS = {"type": "AnchorGenerator", "strides": STRIDES, "ratios": [0.5, 1.0, 2.0], "scales": [4]}
NORM = {"type": "GN", "num_groups": 4}
SIZES = {"num_classes": CLASSES, "in_channels": CHANNELS, "feat_channels": CHANNELS, "stacked_convs": 1}


def made(make: Callable[..., nn.Module], **options: Any) -> Any:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"), quiet():
        head = make(**{name: ConfigDict(v) if isinstance(v, dict) else v for name, v in options.items()})
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.1)
    return head


def retina() -> Any:
    training = {"assigner": MAX_IOU, "sampler": {"type": "PseudoSampler"}, "allowed_border": -1, "pos_weight": -1}
    return made(RetinaHead, **SIZES, anchor_generator=ANCHORS, train_cfg=training)


def rpn() -> Any:
    training = {"assigner": MAX_IOU, "sampler": SAMPLER, "allowed_border": -1, "pos_weight": -1}
    return made(
        RPNHead,
        in_channels=CHANNELS,
        feat_channels=CHANNELS,
        num_classes=1,
        anchor_generator=ANCHORS,
        train_cfg=training,
    )


def fcos() -> Any:
    ranges = ((-1, 32), (32, 64), (64, 1e8))
    return made(FCOSHead, **SIZES, strides=STRIDES, regress_ranges=ranges, center_sampling=True, norm_cfg=NORM)


def regions() -> Any:
    extractor = {"type": "SingleRoIExtractor", "out_channels": CHANNELS, "featmap_strides": STRIDES}
    box = {"type": "Shared2FCBBoxHead", "in_channels": CHANNELS, "fc_out_channels": 16, "num_classes": CLASSES}
    mask = {"type": "FCNMaskHead", "in_channels": CHANNELS, "conv_out_channels": CHANNELS, "num_classes": CLASSES,
            "num_convs": 1, "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True}}  # fmt: skip
    training = {"assigner": {**MAX_IOU, "neg_iou_thr": 0.5}, "sampler": {**SAMPLER, "add_gt_as_proposals": True},
                "mask_size": 28, "pos_weight": -1}  # fmt: skip
    return made(
        StandardRoIHead,
        bbox_roi_extractor={**extractor, "roi_layer": {"type": "RoIAlign", "output_size": 7}},
        mask_roi_extractor={**extractor, "roi_layer": {"type": "RoIAlign", "output_size": 14}},
        bbox_head=box,
        mask_head=mask,
        train_cfg=training,
    )


def sample(position: int, boxes: Sequence[Sequence[float]]) -> DetDataSample:
    from mmdet.structures.mask import BitmapMasks

    found = DetDataSample(metainfo={"img_shape": (SIDE, SIDE), "pad_shape": (SIDE, SIDE)})
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[int(top) : int(bottom), int(left) : int((left + right) / 2)] = 1
    found.gt_instances = InstanceData(
        metainfo={"position": position},
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(len(boxes)) % CLASSES,
        masks=BitmapMasks(masks.numpy(), SIDE, SIDE),
    )
    return found


def proposals(position: int) -> InstanceData:
    """Six regions; none in the fourth image."""
    corners = torch.rand(0 if position == 3 else 6, 2, generator=torch.Generator().manual_seed(position)) * 60
    return InstanceData(bboxes=torch.cat([corners, corners + 50], 1), scores=torch.ones(len(corners)))


def losses_of(head: Any, levels: Sequence[Tensor], boxes: Sequence[Any], images: range) -> Mapping[str, Tensor]:
    """Each loss of the head on those of the step's images."""
    samples = [sample(image, boxes[image]) for image in images]
    share = tuple(level[images.start : images.stop] for level in levels)
    if isinstance(head, StandardRoIHead):
        found = head.loss(share, [proposals(image) for image in images], samples)
    else:
        found = head.loss(share, samples)
    parts = {name: value if isinstance(value, list) else [value] for name, value in found.items()}
    return {name: sum(part.sum() for part in value) for name, value in parts.items() if "loss" in name}  # type: ignore[misc]


def gradients(head: nn.Module, losses: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    head.zero_grad()
    sum(losses.values(), torch.zeros(())).backward()
    return {name: parameter.grad for name, parameter in head.named_parameters()}


def features() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, CHANNELS, SIDE // s, SIDE // s, generator=generator) for s in STRIDES]


HEADS = (retina, rpn, fcos, regions)


@pytest.mark.parametrize("objects", OBJECTS)
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_two_halves_are_the_step(head: Callable[[], Any], objects: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, levels, boxes = head(), features(), OBJECTS[objects]
    halves = [average_over_steps(copy.deepcopy(whole)) for _ in range(2)]

    def half(rank: int) -> Mapping[str, Tensor]:
        return losses_of(halves[rank], levels, boxes, range(2 * rank, 2 * rank + 2))

    expected = losses_of(whole, levels, boxes, range(4))
    first, second = in_two_threads(half, monkeypatch)
    assert first.keys() == second.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close((first[name] + second[name]) / 2, value, msg=f"{name}: {{}}".format)
    wanted = gradients(whole, expected)
    one, other = (gradients(part, losses) for part, losses in zip(halves, (first, second), strict=True))
    for name, value in wanted.items():
        mine, theirs = one[name], other[name]
        assert mine is not None and theirs is not None, f"{name} gets no gradient: distributed training would wait"
        assert value is not None
        torch.testing.assert_close((mine + theirs) / 2, value, rtol=1e-4, atol=1e-6, msg=f"{name}: {{}}".format)


def test_what_is_averaged_keeps_its_state() -> None:
    plain = regions()
    stepped = average_over_steps(copy.deepcopy(plain))
    assert type(stepped.bbox_head).__name__ == "StepShared2FCBBoxHead"
    assert list(stepped.state_dict()) == list(plain.state_dict())
    once = type(stepped.bbox_head)
    assert type(average_over_steps(stepped).bbox_head) is once


def test_heads_of_another_kind_are_named() -> None:
    training = {"assigner": {"type": "ATSSAssigner", "topk": 9}, "allowed_border": -1, "pos_weight": -1}
    anchors = {**ANCHORS, "ratios": [1.0]}
    atss = made(ATSSHead, **SIZES, anchor_generator=anchors, norm_cfg=NORM, train_cfg=training)
    assert unknown_averages(nn.ModuleList([retina(), average_over_steps(regions()), atss])) == ["ATSSHead"]


# Pixels and joints

LABELS = torch.randint(0, CLASSES, (4, 6, 5), generator=torch.Generator().manual_seed(2))
LABELS[0, :5], LABELS[2:] = 255, 255  # few labelled pixels in one half, none in the other
SEGMENTATION = {
    "all pixels": {},
    "labelled pixels": {"avg_non_ignore": True},
    "weighted classes": {"class_weight": [1.0, 5.0, 0.5]},
}


@pytest.mark.parametrize("options", SEGMENTATION.values(), ids=SEGMENTATION)
def test_pixels_are_averaged_over_the_step(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(4, CLASSES, 6, 5)
    with quiet():
        whole = CrossEntropyLoss(**options)
    half = average_over_steps(copy.deepcopy(whole))
    assert (type(half) is CrossEntropyLoss) == (not options)
    expected = whole(logits, LABELS, ignore_index=255)
    shares = [slice(0, 2), slice(2, 4)]
    found = in_two_threads(lambda rank: half(logits[shares[rank]], LABELS[shares[rank]], ignore_index=255), monkeypatch)
    torch.testing.assert_close(sum(found) / 2, expected)


def test_joints_are_averaged_over_all_heatmaps_however_many_are_labelled() -> None:
    """So halves of a step have equal numbers, and nothing is to be done."""
    loss, maps, targets = KeypointMSELoss(use_target_weight=True), torch.randn(4, 5, 6, 7), torch.rand(4, 5, 6, 7)
    labelled = (torch.rand(4, 5) < torch.tensor([[1.0], [0.5], [0.1], [0.0]])).float()
    halves = [loss(maps[part], targets[part], labelled[part]) for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(sum(halves) / 2, loss(maps, targets, labelled))
