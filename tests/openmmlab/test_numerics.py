from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmpose.structures import PoseDataSample
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from tests.openmmlab.test_built_backbones import built
from transfer.backbones.architectures import spec_of
from transfer.openmmlab.numerics import lay_out, precision, set_precision
from transfer.schemas.checkpoint import BackboneSpec

CONVOLUTIONAL = spec_of("resnet18")
VIT = BackboneSpec("vit", "vit", {"image": [64, 64], "patch": 16, "dim": 64, "depth": 2, "heads": 1})


def test_products_are_tf32_on_gpus_and_float32_on_cpus() -> None:
    set_precision()
    backends: Any = torch.backends
    assert backends.cuda.matmul.fp32_precision == backends.cudnn.conv.fp32_precision == "tf32"
    assert backends.mkldnn.matmul.fp32_precision == backends.mkldnn.conv.fp32_precision == "ieee"
    expected = "tf32" if torch.cuda.is_available() else "ieee"
    assert precision() == {"matmul": expected, "convolution": expected}


def test_what_is_said_is_what_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    set_precision()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    backends: Any = torch.backends
    backends.cuda.matmul.fp32_precision = "ieee"
    assert precision() == {"matmul": "ieee", "convolution": "tf32"}
    set_precision()
    assert precision() == {"matmul": "tf32", "convolution": "tf32"}


def detection() -> list[Any]:
    boxes = torch.tensor([[8.0, 8, 60, 70], [40, 30, 120, 100]])
    truth = InstanceData(metainfo={"position": 3}, bboxes=boxes, labels=torch.tensor([0, 2]))
    shape = {"img_shape": (128, 128), "pad_shape": (128, 128), "batch_input_shape": (128, 128)}
    samples = [DetDataSample(metainfo=shape) for _ in range(2)]
    for sample in samples:
        sample.gt_instances = copy.deepcopy(truth)
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    return samples


def segmentation() -> list[Any]:
    labels = PixelData(data=torch.randint(0, 3, (1, 128, 128)))
    return [SegDataSample(gt_sem_seg=labels) for _ in range(2)]


def pose() -> list[Any]:
    samples = [PoseDataSample() for _ in range(2)]
    for sample in samples:
        sample.gt_fields = PixelData(heatmaps=torch.rand(17, 32, 32))
        sample.gt_instance_labels = InstanceData(keypoint_weights=torch.ones(1, 17))
    return samples


TASKS = [("faster_rcnn_fpn/mini", detection), ("deeplab_aspp/mini", segmentation), ("pose_heatmap/mini", pose)]


def losses(model: nn.Module, images: Tensor, samples: list[Any]) -> dict[str, Tensor]:
    """Each loss, summed over levels; without accuracies."""
    torch.manual_seed(0)
    found: Any = model.train()(images, copy.deepcopy(samples), mode="loss")
    return {name: torch.as_tensor(sum(each) if isinstance(each, list) else each) for name, each in found.items()}


@pytest.mark.parametrize("spec", [CONVOLUTIONAL, VIT], ids=lambda spec: spec.arch)
@pytest.mark.parametrize(("head", "truth"), TASKS)
def test_channels_last_changes_rounding_only(
    head: str, truth: Callable[[], list[Any]], spec: BackboneSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    plain = built(head, spec)
    images, samples = torch.randn(2, 3, 128, 128), truth()
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        laid_out = lay_out(copy.deepcopy(plain))
    assert next(lay_out(copy.deepcopy(plain)).parameters()).is_contiguous()
    for ours, theirs in zip(laid_out.extract_feat(images), plain.extract_feat(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    if spec is CONVOLUTIONAL:
        maps = laid_out.backbone(images)
        assert all(each.is_contiguous(memory_format=torch.channels_last) for each in maps)
    expected = losses(plain, images, samples)
    for name, found in losses(laid_out, images, samples).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-3, atol=1e-4, msg=name)


def test_no_accuracy_is_computed_for_joints_and_the_loss_is_the_same() -> None:
    torch.manual_seed(0)
    model, samples = built("pose_heatmap/mini", CONVOLUTIONAL), pose()
    images = torch.randn(2, 3, 128, 128)
    found = losses(model, images, samples)
    assert found.keys() == {"loss_kpt"}
    model.train_cfg = {}
    expected = losses(model, images, samples)
    assert expected.keys() == {"loss_kpt", "acc_pose"} and torch.equal(found["loss_kpt"], expected["loss_kpt"])
