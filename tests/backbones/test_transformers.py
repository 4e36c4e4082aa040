"""Plain transformers against networks written from the papers, at the trained size and at others."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from tests.backbones.paper import PaperTransformer, cubic, hat, randomised, relative_error, state_of
from transfer.backbones.building import Backbone, build_backbone
from transfer.errors import UnknownName
from transfer.schemas.checkpoint import BackboneSpec

SIZE = {"patch": 8, "dim": 64, "depth": 3, "heads": 2}
TRAINED = {**SIZE, "image": [32, 32]}
SIZES = ((32, 32), (48, 24))


def built(kind: str, options: dict[str, Any]) -> Backbone:
    backbone = build_backbone(BackboneSpec(kind, "small", options))
    randomised(backbone.network)
    return backbone.eval()


def conv_stem(state: dict[str, Tensor]) -> Any:
    layers: list[nn.Module] = []
    for index, (narrow, wide) in zip((0, 3, 6, 9), ((3, 8), (8, 16), (16, 32), (32, 64)), strict=True):
        layers += [nn.Conv2d(narrow, wide, 3, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
        assert f"patch_embed.proj.{index}.weight" in state
    stem = nn.Sequential(*layers, nn.Conv2d(64, 64, 1))
    prefix = "patch_embed.proj."
    stem.load_state_dict({name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)})
    return stem.eval()


def sincos(grid: tuple[int, int], width: int) -> Tensor:
    """Written cell by cell from Chen et al. (2021): a quarter of the channels each for sines and cosines of x and y."""
    quarter = width // 4
    omegas = [10_000 ** -(i / (quarter - 1)) for i in range(quarter)]
    rows = [
        [f(place * omega) for place in (x, y) for f in (math.sin, math.cos) for omega in omegas]
        for y in range(grid[0])
        for x in range(grid[1])
    ]
    return torch.tensor(rows)[None]


WAYS = {"dino": partial(cubic, offset=0.1), "bicubic": cubic, "flax": hat}
VARIANTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("vit", {"gelu": "tanh", "position_interpolation": "flax"}, {"act": partial(gelu, approximate="tanh")}),
    ("vit", {"gelu": "quick", "pre_norm": True, "eps": 1e-5}, {"act": lambda x: x / (1 + torch.exp(-1.702 * x))}),
    ("vit", {"registers": 3, "no_embed_registers": True, "layer_scale": True, "position_interpolation": "dino"}, {}),
    ("vit", {"class_token": False, "qkv_bias": False}, {}),
    ("vit", {"heads": 8, "no_embed_class": True}, {}),
    ("vit", {"positions": "sincos2d", "class_token": False}, {"fixed": sincos}),
    ("vit", {"mlp": "swiglu_packed", "mlp_hidden": 88, "layer_scale": True}, {}),
    ("beit", {"bias": "shared"}, {}),
    ("beit", {"bias": "blocks", "absolute": True, "mlp_hidden": 96}, {}),
    ("beit", {"bias": "none", "absolute": True, "layer_scale": False, "qkv_bias": False}, {}),
    ("dinov3", {"image": None}, {}),
    ("dinov3", {"image": None, "mlp": "swiglu", "mlp_hidden": 24, "k_bias": True, "registers": 2}, {}),
    ("dinov3", {"image": None, "qkv_bias": False, "layer_scale": False, "registers": 0}, {}),
]


@pytest.mark.parametrize(("kind", "options", "paper"), VARIANTS)
@torch.no_grad()
def test_features_are_the_papers(kind: str, options: dict[str, Any], paper: dict[str, Any]) -> None:
    way = options.get("position_interpolation", "bicubic")
    chosen = {**TRAINED, **({"position_interpolation": way} if kind != "dinov3" else {}), **options}
    backbone = built(kind, {key: value for key, value in chosen.items() if value is not None})
    eps = options.get("eps", 1e-5 if kind == "dinov3" else 1e-6)
    original = PaperTransformer(
        state_of(backbone.network), chosen["heads"], patch=8, stretch=WAYS[way], **{"eps": eps, **paper}
    )
    for size in SIZES:
        if options.get("bias") in ("shared", "blocks") and size != (32, 32):
            continue  # the paper's network has one size: what stretches biases is tested for itself
        images = torch.randn(2, 3, *size)
        assert relative_error(backbone.forward_features(images), original.features(images)) < 1e-5
        for got, expected in zip(backbone(images), original.levels(images), strict=True):
            assert relative_error(got, expected) < 1e-5


@torch.no_grad()
def test_convolutional_stems() -> None:
    backbone = built("vit", {**SIZE, "patch": 16, "image": [64, 64], "stem": "conv"})
    state = state_of(backbone.network)
    original = PaperTransformer(state, heads=2, patch=16, stem=conv_stem(state))
    images = torch.randn(2, 3, 64, 64)
    assert relative_error(backbone.forward_features(images), original.features(images)) < 1e-5
    assert [features.shape for features in backbone(torch.randn(1, 3, 96, 32))] == [(1, 64, 6, 2)] * 4


@torch.no_grad()
def test_gelus_leave_no_trace_in_names_but_in_features() -> None:
    images = torch.randn(2, 3, 32, 32)
    features = [built("vit", {**TRAINED, "gelu": kind}).forward_features(images) for kind in ("exact", "tanh", "quick")]
    assert 1e-5 < relative_error(features[1], features[0]) < 1e-2 < relative_error(features[2], features[0]) * 10


def test_fixed_positions_are_no_weights() -> None:
    assert "pos_embed" not in built("vit", {**TRAINED, "positions": "sincos2d"}).network.state_dict()


@pytest.mark.parametrize("option", ["gelu", "stem", "positions"])
def test_unknown_options(option: str) -> None:
    with pytest.raises(UnknownName, match="Available"):
        built("vit", {**TRAINED, option: "other"})
