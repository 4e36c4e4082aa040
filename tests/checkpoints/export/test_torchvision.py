from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.checkpoints.export.networks import (
    BASIC,
    BOTTLENECK,
    CAFFE,
    CONVNEXT,
    SWIN,
    VIT,
    error,
    images,
    named_as,
    small,
)
from tests.checkpoints.export.writing import exported
from transfer.errors import Inexpressible

PLAIN = [64, 128, 256, 512]
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("resnet", {**BASIC, "widths": PLAIN, "depths": [1, 1, 1, 1]}),
    "resnext": ("resnet", {**BOTTLENECK, "widths": PLAIN, "depths": [1, 1, 1, 1], "groups": 4, "base_width": 8}),
    "vit": ("vit", VIT),
    "scaled vit": ("vit", {**VIT, "layer_scale": True, "no_embed_class": True, "mlp_hidden": 100}),
    "swin": ("swin", {**SWIN, "padding": "torchvision"}),
    "convnext": ("convnext", CONVNEXT),
    "convolutional convnext": ("convnext", {**CONVNEXT, "convolutional_mlp": True}),
}
FEATURES = {
    "resnet": lambda model, x: model.layer4(model.layer3(model.layer2(model.layer1(stem(model, x))))),
    "vit": lambda model, x: tokens(model, x),
    "swin": lambda model, x: model.norm(model.features(x)),
    "convnext": lambda model, x: model.features(x),
}


def stem(model: Any, x: Tensor) -> Tensor:
    pooled: Tensor = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return pooled


def tokens(model: Any, x: Tensor) -> Tensor:
    x = model._process_input(x)
    encoded: Tensor = model.encoder(torch.cat([model.class_token.expand(len(x), -1, -1), x], dim=1))
    return encoded


def run(snippet: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(snippet, scope)
    return scope


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_the_snippet_loads_strictly_and_computes_the_same(name: str, tmp_path: Path) -> None:
    kind, options = NETWORKS[name]
    backbone, network = small(kind, options)
    model = run(exported("torchvision", network, tmp_path / "out.pth").snippet)["model"]
    x = images(32 if kind == "vit" else 128)
    features = FEATURES[kind](model, x)
    assert error(features, backbone.forward_features(x)) < 1e-5
    assert model(x).ndim == (4 if kind == "convnext" else 2)


@torch.no_grad()
def test_named_networks_are_called_by_their_name(tmp_path: Path) -> None:
    from transfer.backbones.architectures import spec_of

    backbone, network = small("resnet", dict(spec_of("resnet18").options), CAFFE)
    scope = run(exported("torchvision", named_as(network, "resnet18"), tmp_path / "out.pth").snippet)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ours = (255 * pixels.flip(1) - torch.tensor(CAFFE.mean).view(3, 1, 1)) / torch.tensor(CAFFE.std).view(3, 1, 1)
    features = FEATURES["resnet"](scope["model"], scope["normalize"](pixels))
    assert error(features, backbone.forward_features(ours)) < 1e-5


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "caffe": ("resnet", {**BOTTLENECK, "stride_in": "1x1"}, "'1x1', where torchvision's ResNet has the usual"),
    "slim": ("resnet", {**BOTTLENECK, "stride_in": "last_unit"}, "last_unit"),
    "same": ("resnet", {**BASIC, "padding": "same"}, "padding of convolutions"),
    "cifar": ("resnet", {**BASIC, "stem": "cifar"}, "cifar"),
    "narrow": ("resnet", BASIC, "widths of the stages"),
    "resnet-d": ("resnet", {**BASIC, "stem": "deep", "avg_down": True}, "average pooling"),
    "eps": ("resnet", {**BASIC, "eps": 1e-3}, "epsilon of the norms is 0.001"),
    "quick gelu": ("vit", {**VIT, "gelu": "quick"}, "GELU is 'quick'"),
    "registers": ("vit", {**VIT, "registers": 4}, "register tokens"),
    "oblong": ("vit", {**VIT, "image": [32, 64]}, "32x64"),
    "no class token": ("vit", {**VIT, "class_token": False}, "class token"),
    "eps of hugging face": ("vit", {**VIT, "eps": 1e-12}, "epsilon"),
    "windows": ("swin", {**SWIN, "last_window": 2}, "last stage"),
    "second convnext": ("convnext", {**CONVNEXT, "response_norm": True}, "global response"),
    "bit": ("resnetv2", {"depths": [1, 1, 1, 1], "weight_standardised": True}, "no networks of the kind resnetv2"),
    "beit": ("beit", {"image": [32, 32], "patch": 8, "dim": 64, "depth": 4, "heads": 2}, "timm, openmmlab"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torchvision_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    kind, options, reason = REFUSED[name]
    _, network = small(kind, options)
    with pytest.raises(Inexpressible, match=reason):
        exported("torchvision", network, tmp_path / "out.pth")
    assert not list(tmp_path.iterdir())
