"""G-RMI against its description in Papandreou et al. (CVPR 2017) and Sun et al. (ICCV 2017): a ResNet-101 of stride 8
on crops of 353x257 pixels, one 1x1 convolution to 3 K channels upsampled to the crop, discs of 25 pixels, losses
weighted 4 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from tests.openmmlab.test_backbones import built

from tests.openmmlab.head_configs import head_config
from tests.openmmlab.heads.test_segmenters import CONVNEXT, CONVOLUTIONAL, RESNET
from tests.openmmlab.test_compose import composed
from transfer.backbones.architectures import spec_of
from transfer.backbones.building import outline_of
from transfer.errors import BadOption
from transfer.openmmlab.heads.grmi import HoughVoting
from transfer.openmmlab.stack import quiet
from transfer.schemas.checkpoint import BackboneSpec

JOINTS = 17
MINI = (65, 89)
"""Crops of grmi_mini, (width, height)."""


def sample(joints: torch.Tensor, labelled: torch.Tensor, size: tuple[int, int] = MINI) -> PoseDataSample:
    labels = InstanceData(keypoint_labels=joints[None], keypoint_weights=labelled[None])
    box = {"bboxes": np.array([[0, 0, *size]], dtype=float), "bbox_scores": np.ones(1)}
    where = {"input_center": np.array(size) / 2, "input_scale": np.array(size, dtype=float), "input_size": size}
    return PoseDataSample(gt_instance_labels=labels, gt_instances=InstanceData(**box), metainfo=where)


def test_one_convolution_to_three_channels_for_each_joint() -> None:
    with DefaultScope.overwrite_default_scope("mmpose"), quiet():
        head = MODELS.build(composed("grmi/full", "resnet101").model.head)
    assert {name: tuple(p.shape) for name, p in head.named_parameters()} == {
        "fields.weight": (3 * JOINTS, 2048, 1, 1),
        "fields.bias": (3 * JOINTS,),
    }
    assert sum(p.numel() for p in head.parameters()) == 104_499
    assert head.weights == (4.0, 1.0) and head.cells_at_corners
    assert (head.decoder.input_size, head.decoder.radius) == ((257, 353), 25)


def test_the_backbone_of_the_paper() -> None:
    """ResNet-101 at stride 8: 45x33 cells of a 353x257 crop, at the pixels 0, 8, ..., 352 and 0, 8, ..., 256."""
    backbone = outline_of(spec_of("resnet101"), output_stride=8)
    maps = backbone(torch.empty(1, 3, 353, 257, device="meta"))
    assert tuple(maps[-1].shape) == (1, 2048, 45, 33)
    assert 8 * (45 - 1) + 1 == 353 and 8 * (33 - 1) + 1 == 257


def test_the_schedule_of_the_protocol() -> None:
    config = head_config("grmi/full")
    _, steps = config.param_scheduler
    assert (config.train_cfg.max_iters, list(steps.milestones), steps.gamma) == (450_000, [250_000], 0.1)
    assert (config.writer.minimum_joint_score, config.model.test_cfg.flip_test) == (None, False)


@pytest.mark.parametrize("spec", CONVOLUTIONAL, ids=lambda spec: spec.arch)
def test_fields_have_the_size_of_the_crop_and_all_that_trains_a_gradient(spec: BackboneSpec) -> None:
    model = built("grmi/mini", spec).train()
    images = torch.randn(2, 3, MINI[1], MINI[0])
    logits, offsets = model.head(model.extract_feat(images))
    assert tuple(logits.shape) == (2, JOINTS, 89, 65) and tuple(offsets.shape) == (2, JOINTS, 2, 89, 65)
    samples = [sample(torch.rand(JOINTS, 2) * 60, torch.ones(JOINTS)) for _ in range(2)]
    losses = model.loss(images, samples)
    assert set(losses) == {"loss_heatmap", "loss_offset"}
    sum(losses.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


@torch.no_grad()
def test_cells_are_upsampled_to_the_pixels_they_lie_at() -> None:
    head = built("grmi/mini", RESNET).head
    head.fields = torch.nn.Identity()
    ramp = 8.0 * torch.arange(9).expand(1, 3 * JOINTS, 12, 9)
    torch.testing.assert_close(head((ramp,))[0][0, 0, 0], torch.arange(65.0), rtol=0, atol=1e-4)
    assert not built("grmi/mini", CONVNEXT).head.cells_at_corners


@torch.no_grad()
def test_what_the_fields_say_is_predicted_in_the_images_pixels() -> None:
    model = built("grmi/mini", RESNET).eval()
    joints = torch.rand(JOINTS, 2) * torch.tensor([64.0, 88.0])
    x, y = torch.meshgrid(torch.arange(65.0), torch.arange(89.0), indexing="xy")
    offsets = joints[:, :, None, None] - torch.stack([x, y])
    discs = (offsets.norm(dim=1) <= model.head.decoder.radius).float()
    model.head.forward = lambda levels: (100 * (discs[None] - 0.5), offsets[None])
    (found,) = model.predict(torch.randn(1, 3, 89, 65), [sample(joints, torch.ones(JOINTS))])
    np.testing.assert_allclose(found.pred_instances.keypoints[0], joints.numpy(), atol=0.01)
    assert found.pred_instances.keypoint_scores.shape == (1, JOINTS)


def test_what_is_encoded_is_labelled_joints() -> None:
    codec = HoughVoting((65, 89), 6)
    joints, visible = np.random.default_rng(0).random((1, 3, 2)) * 60, np.array([[2, 0, 1]])
    encoded = codec.encode(joints, visible)
    assert encoded["keypoint_weights"].tolist() == [[1, 0, 1]]
    np.testing.assert_allclose(encoded["keypoint_labels"], joints, rtol=1e-6)


def test_a_batch_is_decoded_as_its_crops_are() -> None:
    codec: Any = HoughVoting((65, 89), 6)
    fields = torch.rand(2, 3, 89, 65), torch.randn(2, 3, 2, 89, 65)
    for one, together in zip(zip(*fields, strict=True), zip(*codec.batch_decode(*fields), strict=True), strict=True):
        for mine, theirs in zip(codec.decode(one), together, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_patches_of_stride_8_are_refused() -> None:
    vit = spec_of("vit_small_patch16_224")
    with pytest.raises(BadOption, match=r"fully convolutional; vit .* vitpose_simple"):
        composed("grmi/full", BackboneSpec("vit", "vit_small_patch8_224", {**vit.options, "patch": 8}))


@torch.no_grad()
def test_the_loss_of_a_step_is_the_mean_over_processes() -> None:
    """However many joints are labelled in each one's share."""
    model = built("grmi/mini", RESNET).eval()
    images = torch.randn(4, 3, 89, 65)
    samples = [sample(torch.rand(JOINTS, 2) * 60, (torch.rand(JOINTS) < share).float()) for share in (1, 0.5, 0.2, 0)]
    whole, *halves = (model.loss(images[part], samples[part]) for part in (slice(4), slice(2), slice(2, 4)))
    for name, value in whole.items():
        torch.testing.assert_close(value, sum(half[name] for half in halves) / 2)
