"""Every segmenter on backbones of every kind: scores in place, finite losses, gradients wherever something trains."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from tests.openmmlab.test_backbones import built

from transfer.errors import BadOption
from transfer.schemas.checkpoint import BackboneSpec

VIT = BackboneSpec("vit", "vit", {"image": [32, 32], "patch": 16, "dim": 64, "depth": 4, "heads": 1})
SWIN = BackboneSpec("swin", "swin", {"dim": 16, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2], "window": 4, "patch": 4})
RESNET = BackboneSpec("resnet", "resnet", {"block": "basic", "depths": [1, 1, 1, 1]})
SLIM = BackboneSpec("resnet", "slim", {"block": "bottleneck", "depths": [1, 1, 1, 1], "stride_in": "last_unit"})
CONVNEXT = BackboneSpec("convnext", "convnext", {"depths": [1, 1, 1, 1], "widths": [8, 16, 24, 32]})
WIDE = BackboneSpec("wide_resnet", "wide", {"units": 1, "widths": [16, 32, 64], "transition": "none"})
CONVOLUTIONAL, OTHERS = (RESNET, SLIM, CONVNEXT), (VIT, SWIN, WIDE)
PAIRS = [
    *((head, spec) for head in ("deeplab_aspp_l/mini", "fcn_d8/mini") for spec in CONVOLUTIONAL),
    *((head, spec) for head in ("linear_segmentation/mini", "upernet/mini") for spec in (*CONVOLUTIONAL, *OTHERS)),
]


def step(model: torch.nn.Module, size: int = 128) -> dict[str, torch.Tensor]:
    labels = torch.randint(0, 3, (2, 1, size, size))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in labels]
    losses: dict[str, torch.Tensor] = model.loss(torch.randn(2, 3, size, size), samples)  # type: ignore[operator]
    return losses


@pytest.mark.parametrize(("head", "spec"), PAIRS, ids=lambda value: getattr(value, "arch", value))
def test_all_that_trains_gets_a_gradient_of_a_finite_loss(head: str, spec: BackboneSpec) -> None:
    model = built(head, spec).train()
    loss = step(model, 129 if head == "deeplab_aspp_l/mini" else 128)["decode.loss_ce"]
    loss.backward()
    assert loss.isfinite()
    idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle
    assert any(p.requires_grad for p in model.backbone.parameters()) == (head != "linear_segmentation/mini")


@pytest.mark.parametrize(("head", "spec"), PAIRS, ids=lambda value: getattr(value, "arch", value))
@torch.no_grad()
def test_scores_have_the_stride_of_the_head(head: str, spec: BackboneSpec) -> None:
    model = built(head, spec).eval()
    levels = model.backbone.backbone.levels
    strides = {"linear_segmentation/mini": levels[-1].stride, "upernet/mini": 4 if spec is VIT else levels[0].stride}
    stride = strides.get(head, 8)
    scores = model.decode_head(model.extract_feat(torch.randn(1, 3, 128, 192)))
    assert tuple(scores.shape) == (1, 3, 128 // stride, 192 // stride)


@pytest.mark.parametrize("head", ["deeplab_aspp_l/mini", "fcn_d8/mini"])
@pytest.mark.parametrize("spec", OTHERS, ids=lambda spec: spec.arch)
def test_dilated_heads_refuse_what_cannot_dilate(head: str, spec: BackboneSpec) -> None:
    with pytest.raises(BadOption, match=r"last map of stride 8, but that of .* linear_segmentation and upernet"):
        built(head, spec)


def test_the_linear_head_is_a_linear_map_of_normalised_features() -> None:
    model = built("linear_segmentation/mini", RESNET)
    trained = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        "decode_head.conv_seg.weight": (3, 512, 1, 1),
        "decode_head.conv_seg.bias": (3,),
        "decode_head.norm.weight": (512,),
        "decode_head.norm.bias": (512,),
    }
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    step(model.train())
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())


@pytest.mark.parametrize("head", ["deeplab_aspp_l/mini", "fcn_d8/mini", "linear_segmentation/mini", "upernet/mini"])
@torch.no_grad()
def test_the_loss_of_a_step_is_the_mean_over_processes(head: str) -> None:
    """However many pixels are ignored in each one's share."""
    model = built(head, RESNET).eval()
    images, labels = torch.randn(4, 3, 129, 129), torch.randint(0, 3, (4, 1, 129, 129))
    labels[0, :, :100] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in labels]
    whole, *halves = (model.loss(images[part], samples[part]) for part in (slice(4), slice(2), slice(2, 4)))
    loss = sum(half["decode.loss_ce"] for half in halves) / 2
    torch.testing.assert_close(whole["decode.loss_ce"], loss)
