"""The C4 split: conv1 to conv4 are the backbone, conv5 stands in the box head; both are the checkpoint's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torchvision.models import ResNet, resnet50, resnet101

from tests.backbones.paper import randomised, relative_error
from tests.openmmlab.test_compose import SLIM, composed
from transfer.backbones.architectures import spec_of
from transfer.backbones.building import build_backbone
from transfer.checkpoints.loading import convert_checkpoint, load_converted
from transfer.errors import WeightMismatch
from transfer.openmmlab.backbone import LastStage, TransferBackbone, apply_norm_policies
from transfer.openmmlab.norms import EvalBatchNorm2d
from transfer.schemas.checkpoint import BackboneSpec

CONV1_TO_CONV4 = ("conv1", "bn1", "layer1", "layer2", "layer3")


def detector(head: str, arch: str | BackboneSpec, **changes: Any) -> Any:
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(composed(head, arch, **changes).model)


def parameters(modules: list[nn.Module]) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def of(network: ResNet, names: tuple[str, ...]) -> list[nn.Module]:
    return [getattr(network, name) for name in names]


@torch.no_grad()
def test_the_jft_papers_detector_layer_by_layer() -> None:
    """Conv1 to conv4 shared, stride 16, 1024 channels; conv5 on regions; classifier and boxes on its average."""
    model, reference = detector("faster_rcnn_c4/jft", "resnet101").eval(), resnet101()
    trunk, conv5, head = model.backbone, model.roi_head.shared_head, model.roi_head.bbox_head
    assert parameters([trunk]) == parameters(of(reference, CONV1_TO_CONV4)) == 42_500_160 - 14_964_736
    assert parameters([conv5]) == parameters([reference.layer4]) == 14_964_736
    (features,) = model.extract_feat(torch.randn(1, 3, 224, 320))
    assert features.shape == (1, 1024, 14, 20)
    scores, boxes = model.rpn_head((features,))
    assert scores[0].shape == (1, 15, 14, 20) and boxes[0].shape == (1, 60, 14, 20)
    regions = model.roi_head.bbox_roi_extractor((features,), torch.tensor([[0.0, 16.0, 16.0, 200.0, 180.0]] * 5))
    assert regions.shape == (5, 1024, 14, 14) and conv5(regions).shape == (5, 2048, 7, 7)
    classes, deltas = head(conv5(regions))
    assert classes.shape == (5, 4) and deltas.shape == (5, 12)
    assert parameters([head]) == 2048 * (4 + 12) + 4 + 12
    assert isinstance(conv5.extra_norm, nn.Identity)


def test_mocos_detector_ends_conv5_with_a_norm_and_masks_come_from_it() -> None:
    model = detector("mask_rcnn_c4/full", "resnet50")
    conv5 = model.roi_head.shared_head
    assert parameters([conv5]) == parameters([resnet50().layer4]) + 2 * 2048
    assert isinstance(conv5.extra_norm, nn.BatchNorm2d)
    masks = model.roi_head.mask_head(conv5(torch.randn(2, 1024, 14, 14)))
    assert masks.shape == (2, 3, 14, 14) and not model.roi_head.mask_head.convs


@torch.no_grad()
def test_cells_lie_sixteen_pixels_apart() -> None:
    (network,) = [randomised(detector("faster_rcnn_c4/full", "resnet50")).eval().backbone]
    images = torch.randn(1, 3, 640, 640)
    (here,), (there,) = network(images), network(images.roll(16, dims=3))
    inside = slice(16, 24)  # conv4's last unit sees 291 pixels of a ResNet-50
    assert relative_error(there[..., inside, 17:25], here[..., inside, 16:24]) < 1e-5


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c4")
    torch.save(randomised(resnet50()).state_dict(), folder / "resnet50.pth")
    convert_checkpoint(folder / "resnet50.pth", folder / "backbone.safetensors")
    return folder / "backbone.safetensors"


@torch.no_grad()
def test_backbone_and_box_head_are_the_checkpoints_network(converted: Path) -> None:
    """Every tensor of the file is in exactly one of them, and the features are those of the whole network."""
    whole = load_converted(converted)
    spec = whole.spec.to_json()
    network, conv5 = TransferBackbone(spec, str(converted), last_stage=False), LastStage(spec, str(converted))
    for part in (network, conv5):
        part.init_weights()
        part.eval()
    images = torch.randn(1, 3, 96, 128)
    expected = whole(images)
    (conv4,) = network(images)
    assert conv4.equal(expected[-2]) and conv5(conv4).equal(expected[-1])
    halves = [*network.state_dict().values(), *conv5.state_dict().values()]
    assert sum(tensor.numel() for tensor in halves) == sum(t.numel() for t in whole.network.state_dict().values())


@pytest.mark.parametrize("part", ["trunk", "last stage"])
def test_neither_half_loads_a_file_of_another_network(converted: Path, part: str) -> None:
    spec = spec_of("resnet101").to_json()
    half = LastStage(spec, str(converted)) if part == "last stage" else TransferBackbone(
        spec, str(converted), last_stage=False)  # fmt: skip
    with pytest.raises(WeightMismatch):
        half.init_weights()


SPLIT = (SLIM, *map(spec_of, ("resnetv2_50x1_bit", "convnext_tiny", "resnet50_clip")))


@pytest.mark.parametrize("spec", SPLIT, ids=lambda spec: f"{spec.arch} {spec.options.get('stride_in', '')}")
@torch.no_grad()
def test_every_convolutional_trunk_can_be_split(spec: BackboneSpec) -> None:
    model = detector("faster_rcnn_c4/full", spec).eval()
    backbone, conv5 = model.backbone, model.roi_head.shared_head
    whole = build_backbone(BackboneSpec.from_json(composed("faster_rcnn_c4/full", spec).model.backbone.spec)).eval()
    backbone.backbone.load_state_dict(
        {n: t for n, t in whole.state_dict().items() if n in backbone.backbone.state_dict()}
    )
    behind = [whole.network.get_submodule(name) for name in whole.kind.after_levels]
    last = nn.Sequential(*(module for module in whole.stages()[-1] if module not in behind))
    conv5.stage.load_state_dict(last.state_dict())
    images = torch.randn(1, 3, 64, 64)
    (conv4,) = backbone(images)
    conv5.extra_norm = nn.Identity()
    assert conv4.shape[-1] == 4 and conv5(conv4).equal(whole(images)[-1])


@pytest.mark.parametrize(
    ("trunk", "tuned"), [("full", {"trunk", "conv5"}), ("before-conv5", {"conv5"}), ("frozen", set())]
)
def test_what_is_tuned_counts_conv5_to_the_trunk(trunk: str, tuned: set[str]) -> None:
    model = detector("faster_rcnn_c4/full", "resnet18", trunk=trunk).train()
    parts = {"trunk": model.backbone, "conv5": model.roi_head.shared_head.stage}
    assert {name for name, part in parts.items() if any(p.requires_grad for p in part.parameters())} == tuned
    training = {name for name, part in parts.items() if any(m.training for m in part.modules() if is_norm(m))}
    assert training == tuned
    assert model.roi_head.shared_head.extra_norm.weight.requires_grad


@pytest.mark.parametrize("norm", ["eval", "frozen"])
def test_conv5_has_the_norm_policy_of_the_trunk(norm: str) -> None:
    model = apply_norm_policies(detector("faster_rcnn_c4/full", "resnet18", norm=norm), processes=1).train()
    for part in (model.backbone, model.roi_head.shared_head):
        norms = [module for module in part.modules() if is_norm(module)]
        assert norms and all(isinstance(module, EvalBatchNorm2d) and not module.training for module in norms)


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d)
