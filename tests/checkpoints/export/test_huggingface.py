from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.checkpoints.export.networks import (
    BASIC,
    BEIT,
    BOTTLENECK,
    CAFFE,
    CONVNEXT,
    SWIN,
    VIT,
    error,
    images,
    small,
)
from tests.checkpoints.export.writing import exported
from transfer.errors import Inexpressible

transformers = pytest.importorskip("transformers")

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("resnet", BASIC),
    "bottleneck": ("resnet", BOTTLENECK),
    "caffe": ("resnet", {**BOTTLENECK, "depths": [1, 1, 1, 1], "stride_in": "1x1"}),
    "convnext": ("convnext", CONVNEXT),
    "convolutional convnext": ("convnext", {**CONVNEXT, "layer_scale": False, "convolutional_mlp": True}),
    "convnext v2": ("convnext", {**CONVNEXT, "response_norm": True, "layer_scale": False}),
    "vit": ("vit", {**VIT, "eps": 1e-12, "mlp_hidden": 100}),
    "tanh": ("vit", {**VIT, "gelu": "tanh"}),
    "quick": ("vit", {**VIT, "gelu": "quick", "qkv_bias": False}),
    "positions of patches": ("vit", {**VIT, "no_embed_class": True}),
    "dinov2": ("vit", {**VIT, "layer_scale": True}),
    "registers": ("vit", {**VIT, "layer_scale": True, "registers": 4, "no_embed_registers": True}),
    "registers of timm": ("vit", {**VIT, "registers": 4, "no_embed_class": True}),
    "distilled": ("vit", {**VIT, "registers": 1}),
    "gated": ("vit", {**VIT, "layer_scale": True, "mlp": "swiglu", "mlp_hidden": 176}),
    "packed": ("vit", {**VIT, "layer_scale": True, "mlp": "swiglu_packed", "mlp_hidden": 352}),
    "beit": ("beit", {**BEIT, "eps": 1e-12}),
    "beit shared": ("beit", {**BEIT, "bias": "shared", "absolute": True, "final_norm": False}),
    "data2vec": ("beit", {**BEIT, "layer_scale": False}),
    "swin": ("swin", {**SWIN, "padding": "huggingface"}),
    "swin with positions": ("swin", {**SWIN, "padding": "huggingface", "ape": True, "qkv_bias": False}),
}


def loaded(snippet: str) -> dict[str, Any]:
    """Run the snippet and return its names; it asserts that no name is missing, unexpected or of another shape."""
    scope: dict[str, Any] = {}
    exec(snippet, scope)
    return scope


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_transformers_load_every_name_and_compute_the_same(name: str, tmp_path: Path) -> None:
    kind, options = NETWORKS[name]
    backbone, network = small(kind, options)
    model = loaded(exported("huggingface", network, tmp_path / "out").snippet)["model"].eval()
    x = images(128 if kind == "swin" else 32)
    got = model(x, output_hidden_states=True)
    expected = backbone.forward_features(x)
    features: Tensor = got.last_hidden_state
    assert error(features, expected.flatten(1, 2) if kind == "swin" else expected) < 1e-5


@torch.no_grad()
def test_processors_normalise_as_the_contract_says(tmp_path: Path) -> None:
    backbone, network = small("resnet", BASIC, CAFFE)
    scope = loaded(exported("huggingface", network, tmp_path / "out").snippet)
    pixels = torch.randint(0, 256, (224, 224, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    processed = scope["processor"](pixels.numpy(), return_tensors="pt")["pixel_values"]
    ours = pixels.permute(2, 0, 1)[None].flip(1).float() - torch.tensor(CAFFE.mean).view(3, 1, 1)
    features = scope["model"].eval()(processed).last_hidden_state
    assert error(features, backbone.forward_features(ours)) < 1e-5


def test_the_certificate_travels_twice(tmp_path: Path) -> None:
    from safetensors import safe_open

    _, network = small("vit", VIT)
    exported("huggingface", network, tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        nested = json.loads(file.metadata()["certificate"])
    assert nested == json.loads((tmp_path / "out" / "conversion.json").read_text())["certificate"]


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "slim": ("resnet", {**BOTTLENECK, "stride_in": "last_unit"}, "last_unit"),
    "resnext": ("resnet", {**BOTTLENECK, "widths": [64, 128, 256, 512], "groups": 4, "base_width": 8}, "groups"),
    "resnet-d": ("resnet", {**BASIC, "stem": "deep", "avg_down": True}, "average pooling"),
    "same": ("resnet", {**BASIC, "pool_padding": "same"}, "pooling"),
    "eps": ("convnext", {**CONVNEXT, "eps": 1e-5}, "epsilon"),
    "clip": ("vit", {**VIT, "pre_norm": True}, "a norm before the blocks"),
    "no class token": ("vit", {**VIT, "class_token": False}, "class token"),
    "odd width": ("vit", {**VIT, "layer_scale": True, "mlp_hidden": 100}, "no integer ratio"),
    "windows": ("swin", {**SWIN, "last_window": 2}, "last stage"),
    "dinov3": ("dinov3", {"patch": 8, "dim": 64, "depth": 4, "heads": 1}, "no networks of the kind dinov3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_transformers_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    kind, options, reason = REFUSED[name]
    _, network = small(kind, options)
    with pytest.raises(Inexpressible, match=reason):
        exported("huggingface", network, tmp_path / "out")
    assert not list(tmp_path.iterdir())
