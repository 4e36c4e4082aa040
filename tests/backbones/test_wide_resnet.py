from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from tests.backbones.networks import State, assert_close, convolution, images, norm, random_backbone, same_convolution
from transfer.backbones.building import build_backbone
from transfer.errors import UnknownName, UnsupportedNetwork
from transfer.schemas.checkpoint import BackboneSpec

OPTIONS = {"units": 2, "widths": [32, 64, 128]}


def reference(state: State, x: Tensor, transition: str, conv: Any, eps: float, final_eps: float) -> list[Tensor]:
    """Maps of a wide ResNet and its normed last map; `transition` says what the first units of blocks 2 and 3 see."""

    def active(x: Tensor, name: str, eps: float = eps) -> Tensor:
        return leaky_relu(norm(x, state, name, eps), 0.1)

    def convolved(x: Tensor, name: str, stride: int = 1) -> Tensor:
        return conv(x, state[f"{name}.weight"], stride, state.get(f"{name}.bias"))  # type: ignore[no-any-return]

    x, maps = convolved(x, "conv1"), []
    for block in (1, 2, 3):
        for unit in (0, 1):
            name, stride = f"block{block}.layer.{unit}", 2 if block > 1 and unit == 0 else 1
            hidden = active(x, f"{name}.bn1")
            if unit == 0:
                before = x if block > 1 and transition != "both" else hidden
                hidden = x if block > 1 and transition == "none" else hidden
                x = convolved(before, f"{name}.convShortcut", stride)
            hidden = active(convolved(hidden, f"{name}.conv1", stride), f"{name}.bn2")
            x = x + convolved(hidden, f"{name}.conv2")
        maps.append(x)
    return [*maps, active(x, "bn1", final_eps)]


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({}, {"transition": "both"}),
        ({"transition": "none"}, {"transition": "none"}),
        ({"transition": "none", "bias": "stem", "final_eps": 1e-2}, {"transition": "none", "final_eps": 1e-2}),
        (
            {"transition": "residual", "bias": "all", "eps": 1e-3, "padding": "same"},
            {"transition": "residual", "eps": 1e-3, "final_eps": 1e-3, "conv": same_convolution},
        ),
    ],
    ids=["paper", "kekmodel", "usb", "remixmatch"],
)
@torch.no_grad()
def test_from_the_papers(options: dict[str, Any], how: dict[str, Any]) -> None:
    backbone = random_backbone("wide_resnet", {**OPTIONS, **options})
    how = {"conv": convolution, "eps": 1e-5, "final_eps": 1e-5, **how}
    *maps, last = reference(backbone.network.state_dict(), images(32, 28), **how)
    for ours, theirs in zip(backbone(images(32, 28)), maps, strict=True):
        assert_close(ours, theirs)
    assert_close(backbone.forward_features(images(32, 28)), last)
    assert ("conv1.bias" in backbone.network.state_dict()) == (options.get("bias", "none") != "none")
    assert ("block1.layer.0.conv1.bias" in backbone.network.state_dict()) == (options.get("bias") == "all")


def test_levels() -> None:
    backbone = build_backbone(BackboneSpec("wide_resnet", "w", OPTIONS))
    assert [(level.stride, level.channels) for level in backbone.levels] == [(1, 32), (2, 64), (4, 128)]


def test_options_that_cannot_be() -> None:
    with pytest.raises(UnknownName, match="both, none, residual"):
        build_backbone(BackboneSpec("wide_resnet", "w", {**OPTIONS, "transition": "all"}))
    with pytest.raises(UnsupportedNetwork, match="output stride 2"):
        build_backbone(BackboneSpec("wide_resnet", "w", OPTIONS), output_stride=2)
