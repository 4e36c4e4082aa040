from __future__ import annotations

import torch

from transfer.backbones.building import build_backbone
from transfer.spec.checkpoint import BackboneSpec

OPTIONS = {"dim": 32, "depths": [2, 2, 2, 2], "heads": [1, 2, 4, 8], "window": 4, "patch": 4}


@torch.no_grad()
def test_paddings_agree_at_the_trained_size() -> None:
    timms = build_backbone(BackboneSpec("swin", "s", OPTIONS)).eval()
    other = build_backbone(BackboneSpec("swin", "s", {**OPTIONS, "padding": "torchvision"})).eval()
    draw = torch.Generator().manual_seed(0)
    for parameter in timms.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.2)
    other.load_state_dict(timms.state_dict())
    for size, same in (((128, 128), True), ((256, 128), False), ((96, 80), False)):
        images = torch.randn(1, 3, *size, generator=draw)
        first, second = timms.forward_features(images), other.forward_features(images)
        assert torch.allclose(first, second, atol=1e-4) == same, size


@torch.no_grad()
def test_sizes_that_patches_do_not_divide_are_padded() -> None:
    backbone = build_backbone(BackboneSpec("swin", "s", OPTIONS)).eval()
    images = torch.randn(1, 3, 61, 67)
    padded = torch.nn.functional.pad(images, (0, 1, 0, 3))
    assert all(torch.equal(a, b) for a, b in zip(backbone(images), backbone(padded), strict=True))
