"""Files of small transformers whose features are computed as their papers say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from tests.backbones.paper import PaperTransformer, cubic, hat, randomised, state_of
from tests.checkpoints.genuine.files import Genuine, State
from transfer.backbones.building import build_backbone
from transfer.schemas.checkpoint import BackboneSpec

STRETCHES = {"dino": partial(cubic, offset=0.1), "bicubic": cubic, "flax": hat}


def small_state(kind: str, **options: Any) -> State:
    """Random weights under canonical names: 64 pixels in patches of 16, width 128, depth 4."""
    size = {"patch": 16, "dim": 128, "depth": 4, "heads": 2}
    image = {} if kind == "dinov3" else {"image": [64, 64]}
    network = build_backbone(BackboneSpec(kind, "small", {**size, **image, **options}))
    return {name: tensor.clone() for name, tensor in state_of(randomised(network.network)).items()}


def genuine_transformer(
    family: str,
    state: State,
    tree: Callable[[State], Any],
    *,
    heads: int = 2,
    stretch: str | None = None,
    options: Mapping[str, Any] | None = None,
    suffix: str = ".pth",
    **paper: Any,
) -> Genuine:
    """A file with `tree(state)`; sizes are the trained one, and others where positions stretch or rotate."""
    original = PaperTransformer(state, heads, 16, stretch=STRETCHES.get(stretch or ""), **paper)
    sizes: tuple[tuple[int, int], ...] = ((64, 64),)
    if stretch or "rope.periods" in state:
        sizes = ((64, 64), (96, 64), (48, 80))
    features = original.features if "norm.weight" in state else lambda images: original.tokens(images)[-1]
    return Genuine(tree(state), family, original.levels, features, sizes=sizes, options=options, suffix=suffix)


def head(width: int = 128) -> State:
    """A projection head of DINO's form."""
    return {
        "mlp.0.weight": torch.randn(8, width),
        "mlp.0.bias": torch.zeros(8),
        "last_layer.weight_v": torch.ones(4, 8),
    }
