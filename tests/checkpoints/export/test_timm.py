from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from tests.checkpoints.export.networks import (
    BASIC,
    BEIT,
    BIT,
    BOTTLENECK,
    CAFFE,
    CONVNEXT,
    DINOV3,
    RGB,
    SWIN,
    VIT,
    backbone_of,
    error,
    images,
    named_as,
    small,
)
from tests.checkpoints.export.writing import written
from transfer.errors import Inexpressible

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("resnet", BASIC),
    "resnext": ("resnet", {**BOTTLENECK, "widths": [64, 128, 256, 512], "groups": 4, "base_width": 8}),
    "resnet-d": ("resnet", {**BASIC, "stem": "deep", "stem_width": 16, "avg_down": True}),
    "clip resnet": ("resnet", {**BOTTLENECK, "stem": "deep", "stem_width": 16, "avg_down": True, "antialias": True}),
    "convnext": ("convnext", CONVNEXT),
    "convnext v2": ("convnext", {**CONVNEXT, "response_norm": True, "layer_scale": False, "eps": 1e-5}),
    "vit": ("vit", VIT),
    "tanh": ("vit", {**VIT, "gelu": "tanh"}),
    "clip": ("vit", {**VIT, "gelu": "quick", "pre_norm": True, "eps": 1e-5}),
    "dinov2": ("vit", {**VIT, "registers": 4, "no_embed_registers": True, "layer_scale": True, "mlp": "swiglu"}),
    "packed": ("vit", {**VIT, "mlp": "swiglu_packed", "mlp_hidden": 344}),
    "distilled": ("vit", {**VIT, "registers": 1}),
    "no class token": ("vit", {**VIT, "class_token": False}),
    "fixed positions": ("vit", {**VIT, "class_token": False, "positions": "sincos2d"}),
    "no norm": ("vit", {**VIT, "final_norm": False}),
    "beit": ("beit", BEIT),
    "beit shared": ("beit", {**BEIT, "bias": "shared", "absolute": True, "final_norm": False}),
    "dinov3": ("dinov3", DINOV3),
    "swin": ("swin", {**SWIN, "padding": "timm"}),
    "swin last window": ("swin", {**SWIN, "last_window": 2}),
    "resnetv2": ("resnetv2", {"depths": [1, 1, 1, 1], "widths": [64, 64, 64, 64], "norm": "batch"}),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_timm_loads_strictly_and_computes_the_same(name: str, tmp_path: Path) -> None:
    backbone, network = small(*NETWORKS[name])
    path = written("timm", network, tmp_path / "out")
    network = timm.create_model(f"local-dir:{path}", pretrained=True, num_classes=0).eval()
    x = images(network.pretrained_cfg["input_size"][-1])
    assert error(network.forward_features(x), backbone.forward_features(x)) < 1e-5


@torch.no_grad()
def test_bit_of_google_keeps_its_own_epsilon(tmp_path: Path) -> None:
    """Kernels have so little variance here that timm's epsilon alone would move features by percents."""
    options = {"depths": [3, 4, 6, 3], "weight_standardised": True, "pool_padding": "zeros", "weight_eps": 1e-10}
    backbone, _ = small("resnetv2", options)
    state = {name: 1e-3 * t if t.ndim == 4 else t for name, t in backbone.network.state_dict().items()}
    backbone.network.load_state_dict(state)
    path = written("timm", named_as(backbone_of(backbone, state), "resnetv2_50x1_bit"), tmp_path / "out")
    network = timm.create_model(f"local-dir:{path}", pretrained=True, num_classes=0).eval()
    x = images(64)
    assert error(network.forward_features(x), backbone.forward_features(x)) < 1e-5
    network.load_state_dict(state, strict=False)
    assert error(network.forward_features(x), backbone.forward_features(x)) > 1e-3


@torch.no_grad()
def test_an_exact_name_needs_no_arguments(tmp_path: Path) -> None:
    _, network = small("resnet", {"block": "basic", "depths": [2, 2, 2, 2]})
    path = written("timm", named_as(network, "resnet18"), tmp_path / "out")
    config = json.loads((path / "config.json").read_text())
    assert config["architecture"] == "resnet18" and "model_args" not in config


@torch.no_grad()
def test_bgr_and_bytes_are_folded_and_said(tmp_path: Path) -> None:
    backbone, network = small("resnet", BASIC, CAFFE)
    path = written("timm", network, tmp_path / "out")
    network = timm.create_model(f"local-dir:{path}", pretrained=True, num_classes=0).eval()
    config = network.pretrained_cfg
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    theirs = network.forward_features((pixels - mean) / std)
    ours = (255 * pixels.flip(1) - torch.tensor(CAFFE.mean).view(3, 1, 1)) / torch.tensor(CAFFE.std).view(3, 1, 1)
    assert error(theirs, backbone.forward_features(ours)) < 1e-5
    notes = " ".join(json.loads((path / "conversion.json").read_text())["notes"])
    assert "reversed" in notes and "divided by 255" in notes


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "slim": ("resnet", {**BOTTLENECK, "stride_in": "last_unit"}, "where a stage strides"),
    "caffe": ("resnet", {**BOTTLENECK, "stride_in": "1x1"}, "where a stage strides"),
    "same": ("resnet", {**BASIC, "padding": "same"}, "padding of convolutions"),
    "same pool": ("resnet", {**BASIC, "pool_padding": "same"}, "stem's pooling"),
    "cifar": ("resnet", {**BASIC, "stem": "cifar"}, "stem"),
    "eps": ("resnet", {**BASIC, "eps": 1e-3}, "epsilon"),
    "wide stem": ("resnet", {**BASIC, "stem_width": 128}, "64 channels"),
    "projection": ("resnet", {**BASIC, "widths": [64, 128, 256, 512], "projection": True}, "shortcut"),
    "eps of hugging face": ("vit", {**VIT, "eps": 1e-12}, "epsilon"),
    "conv stem": ("vit", {**VIT, "stem": "conv", "image": [64, 64], "patch": 16}, "stem"),
    "positions of swin": ("swin", {**SWIN, "ape": True}, "position embeddings"),
    "small bit": ("resnetv2", BIT, "resnetv2_50x1_bit"),
    "slim v2": ("resnetv2", {"depths": [2, 2, 2, 2], "norm": "batch", "stride_in": "last_unit"}, "where a stage"),
    "wide resnet": ("wide_resnet", {"units": 2, "widths": [16, 32, 64]}, "no networks of the kind"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_timm_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    kind, options, reason = REFUSED[name]
    _, network = small(kind, options)
    with pytest.raises(Inexpressible, match=reason):
        written("timm", network, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_rounded_rotary_periods_are_refused(tmp_path: Path) -> None:
    backbone, _ = small("dinov3", DINOV3)
    state = dict(backbone.network.state_dict())
    state["rope.periods"] = state["rope.periods"].bfloat16().float()
    with pytest.raises(Inexpressible, match="bfloat16"):
        written("timm", backbone_of(backbone, state, RGB), tmp_path / "out")
