"""ViTPose's simple decoder: what follows the backbone, on backbones of every stride."""

from __future__ import annotations

import pytest
import torch
from tests.openmmlab.test_backbones import built

from tests.openmmlab.heads.test_segmenters import RESNET, SWIN, VIT, WIDE
from tests.openmmlab.test_compose import composed
from transfer.errors import BadOption
from transfer.schemas.checkpoint import BackboneSpec


@pytest.mark.parametrize(
    ("spec", "scale"), [(VIT, 4), (RESNET, 8), (SWIN, 8), (WIDE, 1)], ids=lambda v: getattr(v, "arch", v)
)
@torch.no_grad()
def test_relu_upsampling_and_one_convolution(spec: BackboneSpec, scale: int) -> None:
    model = built("vitpose_simple/mini", spec).eval()
    assert model.neck.scale_factor == scale
    trained = {name: tuple(p.shape) for name, p in model.head.named_parameters()}
    channels = model.backbone.backbone.levels[-1].channels
    assert trained == {"final_layer.weight": (17, channels, 3, 3), "final_layer.bias": (17,)}
    images = torch.randn(1, 3, 96, 64)
    heatmaps = model.head(model.extract_feat(images))
    lifted = torch.nn.functional.interpolate(
        model.backbone(images)[-1].relu(), scale_factor=float(scale), mode="bilinear"
    )
    torch.testing.assert_close(heatmaps, model.head.final_layer(lifted))
    assert tuple(heatmaps.shape) == (1, 17, 24, 16)


def test_patches_that_do_not_fill_a_crop_are_refused() -> None:
    with pytest.raises(BadOption, match="pose crops of 192x256"):
        composed("vitpose_simple/full", BackboneSpec("vit", "vit14", {**VIT.options, "patch": 14}))
