"""Vision transformers: class token or not, registers, LayerScale, gated MLPs, CLIP's norms, any grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from timm.layers import Mlp, PatchEmbed, SwiGLU, SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from transfer.backbones.kind import Kind, Level
from transfer.backbones.layers import ConvStem
from transfer.backbones.positions import INTERPOLATIONS, sincos2d, stretch_positions
from transfer.errors import UnknownName, UnsupportedNetwork

MLPS = {"mlp": Mlp, "swiglu": SwiGLU, "swiglu_packed": SwiGLUPacked}
STEMS = {"patch": PatchEmbed, "conv": ConvStem}
POSITIONS = ("learnt", "sincos2d")


class QuickGELU(nn.Module):
    """OpenAI CLIP's approximation of GELU: `x * sigmoid(1.702 x)` (Hendrycks and Gimpel, 2016)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function element by element."""
        return x * torch.sigmoid(1.702 * x)


GELUS = {"exact": nn.GELU, "tanh": partial(nn.GELU, approximate="tanh"), "quick": QuickGELU}
"""GELU kinds: PyTorch's default, that of flax, that of OpenAI's CLIP. They leave no trace in the weights."""


class PlainViT(VisionTransformer):  # type: ignore[misc]
    """timm's VisionTransformer that stretches position embeddings the way its source network does.

    Without a learnt `pos_embed`, positions are `sincos2d` of the grid. `no_embed_registers` leaves register tokens
    without positions where the class token has one (DINOv2).
    """

    position_interpolation: str
    no_embed_registers: bool

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Return `(B, prefix + H*W, C)` with positions, class and register tokens first, of patches `(B, H, W, C)`."""
        batch, height, width, _ = x.shape
        prefix, cells = self._prefix_and_cells((height, width))
        x = x.flatten(1, 2) + cells.to(x)
        if prefix is not None:
            x = torch.cat([prefix.expand(batch, -1, -1), x], dim=1)
        return self.pos_drop(x)  # type: ignore[no-any-return]

    def _prefix_and_cells(self, grid: tuple[int, int]) -> tuple[Tensor | None, Tensor]:
        """Return class and register tokens with what positions they have, and the positions of the patches."""
        tokens = [token for token in (self.cls_token, self.reg_token) if token is not None]
        prefix = torch.cat(tokens, dim=1) if tokens else None
        if self.pos_embed is None:
            return prefix, sincos2d(grid, self.embed_dim)
        count = self._embedded()
        positions, cells = self.pos_embed[:, :count], self.pos_embed[:, count:]
        if prefix is not None and count:
            prefix = torch.cat([prefix[:, :count] + positions, prefix[:, count:]], dim=1)
        return prefix, stretch_positions(cells, self.patch_embed.grid_size, grid, self.position_interpolation)

    def _embedded(self) -> int:
        """Count the class and register tokens that have positions."""
        if self.no_embed_class:
            return 0
        return int(self.has_class_token) if self.no_embed_registers else int(self.num_prefix_tokens)


def build_vit(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """Build a timm VisionTransformer without classifier that accepts any image divisible by its patch.

    Options: `image` (height, width of the position grid in pixels), `patch`, `dim`, `depth`, `heads`,
    `mlp` (mlp, swiglu, swiglu_packed), `mlp_hidden`, `gelu` (exact, tanh, quick), `stem` (patch, conv),
    `class_token`, `registers`, `no_embed_class`, `no_embed_registers`, `positions` (learnt, sincos2d),
    `position_interpolation`, `layer_scale` (whether), `qkv_bias`, `proj_bias`, `qk_norm`, `pre_norm` (a norm before
    the blocks, and no bias in the stem), `final_norm`, `eps`.
    """
    if output_stride != 32:
        raise UnsupportedNetwork(
            f"output stride {output_stride}: a ViT has one stride, its patch; leave the option out."
        )
    way = _known("position interpolation", options.get("position_interpolation", "timm"), INTERPOLATIONS)
    gelu = _known("GELU", options.get("gelu", "exact"), GELUS)
    stem = _known("stem", options.get("stem", "patch"), STEMS)
    positions = _known("kind of positions", options.get("positions", "learnt"), POSITIONS)
    network = PlainViT(
        img_size=tuple(options["image"]),
        patch_size=options["patch"],
        num_classes=0,
        global_pool="",
        fc_norm=False,
        embed_dim=options["dim"],
        depth=options["depth"],
        num_heads=options["heads"],
        # timm truncates dim * ratio to an integer: the half keeps rounding errors from costing one unit
        mlp_ratio=(options.get("mlp_hidden", 4 * options["dim"]) + 0.5) / options["dim"],
        mlp_layer=MLPS[options.get("mlp", "mlp")],
        act_layer=GELUS[gelu] if options.get("mlp", "mlp") == "mlp" else nn.SiLU,
        embed_layer=STEMS[stem],
        pos_embed="learn" if positions == "learnt" else "none",
        class_token=options.get("class_token", True),
        reg_tokens=options.get("registers", 0),
        # timm counts positions for all tokens but the patches or none: those of the class token alone follow below
        no_embed_class=options.get("no_embed_class", False) or options.get("no_embed_registers", False),
        init_values=1e-5 if options.get("layer_scale", False) else None,
        qkv_bias=options.get("qkv_bias", True),
        proj_bias=options.get("proj_bias", True),
        qk_norm=options.get("qk_norm", False),
        pre_norm=options.get("pre_norm", False),
        final_norm=options.get("final_norm", True),
        norm_layer=partial(nn.LayerNorm, eps=options.get("eps", 1e-6)),
        dynamic_img_size=True,
    )
    network.position_interpolation = way
    network.no_embed_registers = options.get("no_embed_registers", False)
    if network.no_embed_registers:
        network.no_embed_class = False
        network.pos_embed = nn.Parameter(
            torch.cat([torch.zeros_like(network.cls_token), network.pos_embed], dim=1).detach()
        )
    return network


def _known(what: str, name: str, names: Iterable[str]) -> str:
    if name not in names:
        raise UnknownName.among(what, name, names)
    return name


def quarters(depth: int) -> tuple[int, int, int, int]:
    """Return the indices of the blocks that end each quarter of the depth (12 → 2, 5, 8, 11)."""
    first, second, third, last = (-(-depth * quarter // 4) - 1 for quarter in (1, 2, 3, 4))
    return first, second, third, last


def patch_grid(network: Any, images: Tensor) -> tuple[int, int]:
    """Count the patches of `images`, (rows, columns). Raises UnsupportedNetwork where they do not divide."""
    patch = network.patch_embed.patch_size[0]
    height, width = images.shape[-2:]
    if height % patch or width % patch:
        raise UnsupportedNetwork(
            f"images of {height}x{width} pixels do not divide into patches of {patch}: pad or resize them."
        )
    return height // patch, width // patch


def quarter_stages(network: Any, stem: list[nn.Module]) -> list[list[nn.Module]]:
    """Return `stem`, then a transformer's blocks in quarters of its depth, the final norm in the last."""
    starts = [0, *(end + 1 for end in quarters(len(network.blocks)))]
    blocks = [list(network.blocks[start:stop]) for start, stop in pairwise(starts)]
    return [stem, *blocks[:3], [*blocks[3], network.norm]]


def _levels(network: Any) -> tuple[Level, ...]:
    return (Level(network.patch_embed.patch_size[0], network.embed_dim),) * 4


def intermediate_maps(network: Any, images: Tensor) -> list[Tensor]:
    """Return patch tokens as maps after the blocks that end each quarter; no relative biases are possible."""
    patch_grid(network, images)
    ends = quarters(len(network.blocks))
    maps = network.forward_intermediates(images, indices=sorted(set(ends)), intermediates_only=True)
    at = dict(zip(sorted(set(ends)), maps, strict=True))
    return [at[end] for end in ends]


def _stages(network: Any) -> list[list[nn.Module]]:
    tokens = nn.ParameterList(p for p in (network.cls_token, network.reg_token, network.pos_embed) if p is not None)
    return quarter_stages(
        network, [network.patch_embed, tokens, network.pos_drop, network.patch_drop, network.norm_pre]
    )


VIT = Kind("vit", build_vit, _levels, intermediate_maps, _stages, after_levels=("norm",))
