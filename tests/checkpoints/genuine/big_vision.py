from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.checkpoints.genuine.files import Genuine, State
from tests.checkpoints.genuine.google_vit import LINEN, flax_genuine, flax_names
from tests.checkpoints.genuine.transformers import small_state


def sincos(grid: tuple[int, int], width: int) -> Tensor:
    """Cell by cell: a quarter of the channels each for sines and cosines of x, then of y (Chen et al., 2021)."""
    quarter = width // 4
    omegas = [10_000 ** -(i / (quarter - 1)) for i in range(quarter)]
    rows = [
        [f(place * omega) for place in (x, y) for f in (math.sin, math.cos) for omega in omegas]
        for y in range(grid[0])
        for x in range(grid[1])
    ]
    return torch.tensor(rows)[None]


def big_vision(prefix: str = "", *, stacked: bool = False, pooled: bool = False, **options: Any) -> Genuine:
    def tree(state: State) -> State:
        names = flax_names(state, LINEN, "pos_embedding")
        names = stack(names) if stacked else names
        if pooled:
            names |= {"MAPHead_0/probe": torch.randn(1, 1, 128), "MAPHead_0/LayerNorm_0/scale": torch.ones(128)}
        text = {"params/txt/Embed_0/embedding": torch.randn(8, 4), "params/t": torch.ones(1)}
        text |= {"params/txt/Encoder_0/encoderblock_0/LayerNorm_0/scale": torch.ones(4)}
        return {prefix + name: tensor for name, tensor in names.items()} | (text if "img" in prefix else {})

    paper = {"fixed": sincos} if options.get("positions") == "sincos2d" else {}
    return flax_genuine("big_vision", small_state("vit", **options), tree, **paper)


def stack(names: State) -> State:
    """All blocks as one, the depth first."""
    start = "Transformer/encoderblock_"
    inner = [name.removeprefix(f"{start}0") for name in names if name.startswith(f"{start}0/")]
    rest = {name: tensor for name, tensor in names.items() if not name.startswith(start)}
    return rest | {
        f"Transformer/encoderblock{name}": torch.stack([names[f"{start}{block}{name}"] for block in range(4)])
        for name in inner
    }


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "big_vision: pooled": lambda: big_vision(pooled=True, class_token=False),
    "big_vision: class token": lambda: big_vision("params/", no_embed_class=True),
    "big_vision: fixed positions": lambda: big_vision("opt/target/", class_token=False, positions="sincos2d"),
    "big_vision: image tower": lambda: big_vision("params/img/", pooled=True, class_token=False),
    "big_vision: stacked": lambda: big_vision("params/", stacked=True, class_token=False),
}
