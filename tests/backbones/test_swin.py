from __future__ import annotations

import pytest
import torch

from transfer.backbones.building import build_backbone
from transfer.schemas.checkpoint import BackboneSpec

OPTIONS = {"dim": 32, "depths": [2, 2, 2, 2], "heads": [1, 2, 4, 8], "window": 4, "patch": 4}


@pytest.mark.parametrize("padding", ["torchvision", "mmpretrain", "huggingface", "ibot"])
@torch.no_grad()
def test_paddings_agree_at_the_trained_size(padding: str) -> None:
    timms = build_backbone(BackboneSpec("swin", "s", OPTIONS)).eval()
    other = build_backbone(BackboneSpec("swin", "s", {**OPTIONS, "padding": padding})).eval()
    draw = torch.Generator().manual_seed(0)
    for parameter in timms.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.2)
    other.load_state_dict(timms.state_dict())
    fixed = padding == "ibot"  # which blocks shift is decided at the trained size
    for size, same in (((128, 128), True), ((256, 256), fixed), ((96, 80), False)):
        images = torch.randn(1, 3, *size, generator=draw)
        first, second = timms.forward_features(images), other.forward_features(images)
        assert torch.allclose(first, second, atol=1e-4) == same, size


@torch.no_grad()
def test_absolute_positions() -> None:
    backbone = build_backbone(BackboneSpec("swin", "s", {**OPTIONS, "ape": True})).eval()
    images = torch.randn(1, 3, 128, 128)
    plain = backbone(images)[0]
    backbone.network.absolute_pos_embed.fill_(0.5)  # type: ignore[union-attr, operator]
    assert not torch.allclose(backbone(images)[0], plain, atol=1e-3)
    assert [m.shape[-1] for m in backbone(torch.randn(1, 3, 96, 160))] == [40, 20, 10, 5]


@torch.no_grad()
def test_a_smaller_last_window() -> None:
    options = {**OPTIONS, "window": 8, "last_window": 4}
    backbone = build_backbone(BackboneSpec("swin", "s", options)).eval()
    tables = [tuple(stage.blocks[0].attn.relative_position_bias_table.shape) for stage in backbone.network.layers]
    assert tables == [(225, 1), (225, 2), (225, 4), (49, 8)]
    assert [m.shape[-1] for m in backbone(torch.randn(1, 3, 128, 192))] == [48, 24, 12, 6]


@torch.no_grad()
def test_sizes_that_patches_do_not_divide_are_padded() -> None:
    backbone = build_backbone(BackboneSpec("swin", "s", OPTIONS)).eval()
    images = torch.randn(1, 3, 61, 67)
    padded = torch.nn.functional.pad(images, (0, 1, 0, 3))
    assert all(torch.equal(a, b) for a, b in zip(backbone(images), backbone(padded), strict=True))
