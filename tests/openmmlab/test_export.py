"""What is exported for OpenMMLab, loaded by its own networks through its own `init_cfg`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as ROOT
from torch import Tensor
from torch.nn.functional import layer_norm

from tests.checkpoints.export.networks import BASIC, BEIT, BOTTLENECK, CAFFE, CONVNEXT, SWIN, VIT, error, images, small
from tests.checkpoints.export.writing import exported
from transfer.checkpoints.loading import load_backbone
from transfer.errors import Inexpressible
from transfer.openmmlab.stack import quiet

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("resnet", BASIC),
    "caffe": ("resnet", {**BOTTLENECK, "stride_in": "1x1", "eps": 1e-3}),
    "resnext": ("resnet", {**BOTTLENECK, "widths": [64, 128, 256, 512], "groups": 4, "base_width": 4}),
    "resnet-d": ("resnet", {**BOTTLENECK, "stem": "deep", "stem_width": 8, "avg_down": True}),
    "resnet-c": ("resnet", {**BASIC, "stem": "deep", "stem_width": 8}),
    "swin": ("swin", {**SWIN, "padding": "mmdet", "qkv_bias": False}),
    "vit": ("vit", VIT),
    "tanh": ("vit", {**VIT, "gelu": "tanh", "image": [32, 48], "final_norm": False}),
    "clip": ("vit", {**VIT, "pre_norm": True, "eps": 1e-5, "position_interpolation": "bicubic"}),
    "scaled": ("vit", {**VIT, "layer_scale": True, "no_embed_class": True}),
    "no class token": ("vit", {**VIT, "class_token": False}),
    "fixed positions": ("vit", {**VIT, "class_token": False, "positions": "sincos2d"}),
    "beit": ("beit", BEIT),
    "beit shared": ("beit", {**BEIT, "bias": "shared", "final_norm": False}),
}


def configs(snippet: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(snippet, scope)
    return scope


def built(config: dict[str, Any]) -> Any:
    """The network in evaluation mode, its weights loaded by its own loader."""
    scope = "mmseg" if config["type"].startswith("mmseg.") else "mmdet"
    with quiet(), ROOT.switch_scope_and_registry(scope) as registry:
        network = registry.build(ConfigDict(config))
        network.init_weights()
    network.eval()  # returns nothing
    return network


def strict(network: Any, path: Path) -> None:
    """The file has exactly the names of the network, and the network has the file's numbers."""
    state = {name.removeprefix("backbone."): t for name, t in torch.load(path)["state_dict"].items()}
    loaded = network.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def expected_levels(backbone: Any, x: Tensor) -> list[Tensor]:
    """OpenMMLab norms the last level of ViTs that have a final norm, and every level of Swins."""
    levels = backbone(x)
    network, kind = backbone.network, backbone.spec.kind
    if kind == "swin":
        *first, last = (level.permute(0, 2, 3, 1) for level in levels)
        first = [layer_norm(level, level.shape[-1:]) for level in first]
        return [level.permute(0, 3, 1, 2) for level in (*first, network.norm(last))]
    if kind in ("vit", "beit"):
        *first, last = levels
        return [*first, network.norm(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)]
    return list(levels)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_its_own_loader_fills_everything_and_features_agree(name: str, tmp_path: Path) -> None:
    kind, options = NETWORKS[name]
    backbone, network = small(kind, options)
    export = exported("openmmlab", network, tmp_path / "out.pth")
    network = built(configs(export.snippet)["backbone"])
    strict(network, tmp_path / "out.pth")
    sizes = {"resnet": [(64, 96)], "swin": [(128, 128), (80, 112)]}.get(kind, [tuple(options.get("image", (32, 32)))])
    if options.get("position_interpolation") == "bicubic":
        sizes.append((48, 64))
    for size in sizes:
        x = images(*size)
        for got, expected in zip(network(x), expected_levels(backbone, x), strict=True):
            assert error(got, expected) < 1e-5


@pytest.mark.parametrize("name", [*NETWORKS, "convnext"])
@torch.no_grad()
def test_there_and_back_is_the_same_network(name: str, tmp_path: Path) -> None:
    """Heads, epsilon, style and contract are in the config that the file carries."""
    kind, options = {**NETWORKS, "convnext": ("convnext", CONVNEXT)}[name]
    backbone, network = small(kind, options)
    exported("openmmlab", network, tmp_path / "out.pth")
    back, certificate = load_backbone(tmp_path / "out.pth")
    assert (certificate.family, certificate.coverage) == ("openmmlab", 1.0)
    contract, pixels = certificate.input, {"0-1": 255.0, "0-255": 1.0}[network.input.range]
    assert (contract.range, contract.channel_order) == ("0-255", network.input.channel_order)
    assert contract.mean == pytest.approx([pixels * value for value in network.input.mean])
    assert contract.std == pytest.approx([pixels * value for value in network.input.std])
    x = images(*options.get("image", (64, 96)))
    for got, expected in zip(back.eval()(x), backbone(x), strict=True):
        assert error(got, expected) < 1e-5


@torch.no_grad()
def test_classifiers_swins_differ_in_the_last_level_only_and_that_is_said(tmp_path: Path) -> None:
    backbone, network = small("swin", SWIN)
    export = exported("openmmlab", network, tmp_path / "out.pth")
    network = built(configs(export.snippet)["backbone"])
    x = images(128)
    *same, other = map(error, network(x), expected_levels(backbone, x))
    assert max(same) < 1e-5 < 1e-3 < other
    assert any("whatever the size of the map" in note for note in export.notes)


def test_the_preprocessor_is_the_contract(tmp_path: Path) -> None:
    _, network = small("resnet", BASIC)
    preprocessor = configs(exported("openmmlab", network, tmp_path / "out.pth").snippet)["data_preprocessor"]
    assert preprocessor == {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}
    _, network = small("resnet", BASIC, CAFFE)
    preprocessor = configs(exported("openmmlab", network, tmp_path / "out.pth").snippet)["data_preprocessor"]
    assert preprocessor == {"mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0], "bgr_to_rgb": False}


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "slim": ("resnet", {**BOTTLENECK, "stride_in": "last_unit"}, "last_unit"),
    "same": ("resnet", {**BASIC, "padding": "same"}, "padding of convolutions"),
    "cifar": ("resnet", {**BASIC, "stem": "cifar"}, "cifar"),
    "depths": ("resnet", {**BASIC, "depths": [1, 1, 1, 1]}, "no ResNet with a number"),
    "widths": ("resnet", {**BASIC, "widths": [16, 32, 64, 64]}, "do not double"),
    "wide": ("resnet", {**BOTTLENECK, "widths": [64, 128, 256, 512], "base_width": 128}, "wide ResNet"),
    "clip": ("resnet", {**BOTTLENECK, "stem": "deep", "avg_down": True, "antialias": True}, "average pools"),
    "quick gelu": ("vit", {**VIT, "gelu": "quick"}, "GELU is 'quick'"),
    "registers": ("vit", {**VIT, "registers": 4}, "register tokens"),
    "gated": ("vit", {**VIT, "mlp": "swiglu"}, "kind of MLP"),
    "odd width": ("vit", {**VIT, "mlp_hidden": 100}, "no integer"),
    "data2vec without biases": ("beit", {**BEIT, "bias": "none"}, "relative position biases"),
    "windows": ("swin", {**SWIN, "last_window": 2}, "last stage"),
    "convnext": ("convnext", {**CONVNEXT, "kernel": 3}, "depthwise kernels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_openmmlab_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    kind, options, reason = REFUSED[name]
    _, network = small(kind, options)
    with pytest.raises(Inexpressible, match=reason):
        exported("openmmlab", network, tmp_path / "out.pth")
    assert not list(tmp_path.iterdir())
