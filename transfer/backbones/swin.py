"""Swin transformers for images of any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn
from torch.nn.functional import pad

from transfer.backbones.kind import Kind, Level
from transfer.errors import BadOption, UnknownName

PADDINGS = ("timm", "torchvision")


class PadThenShift(SwinTransformerBlock):  # type: ignore[misc]
    """A block that pads before it shifts, and shifts along every side of more than one window: torchvision's way.

    timm shifts first, and decides at the trained size which blocks shift at all. Both agree there, and differ at
    sizes that windows do not fill or that give the last stage more than one window.
    """

    def _attn(self, x: Tensor) -> Tensor:
        """`(B, H, W, C)` → the same shape: attention within shifted windows."""
        height, width = x.shape[1:3]
        x = pad(x, (0, 0, 0, -width % self.window_size[1], 0, -height % self.window_size[0]))
        padded = (x.shape[1], x.shape[2])
        nominal = [side // 2 if any(self.target_shift_size) else 0 for side in self.window_size]
        shift = [s if side > w else 0 for s, side, w in zip(nominal, padded, self.window_size, strict=True)]
        x = torch.roll(x, shifts=[-s for s in shift], dims=(1, 2))
        windows = window_partition(x, self.window_size).flatten(1, 2)
        mask = _region_mask(padded, self.window_size, shift, x) if any(shift) else None
        windows = self.attn(windows, mask=mask).unflatten(1, self.window_size)
        x = window_reverse(windows, self.window_size, *padded)
        x = torch.roll(x, shifts=shift, dims=(1, 2))
        return x[:, :height, :width].contiguous()


def _region_mask(size: tuple[int, int], window: tuple[int, int], shift: list[int], like: Tensor) -> Tensor:
    """-100 between cells of a window that were not neighbours before the shift: `(windows, cells, cells)`."""
    rows, columns = (_regions(*sides) for sides in zip(size, window, shift, strict=True))
    regions = (3 * rows[:, None] + columns).to(like)
    cells = window_partition(regions[None, :, :, None], window).flatten(1)
    mask: Tensor = (cells[:, None] != cells[:, :, None]).to(like) * -100.0
    return mask


def _regions(side: int, window: int, shift: int) -> Tensor:
    """0 before the last window, 1 up to the seam in it, 2 behind the seam."""
    cells = torch.arange(side)
    return (cells >= side - window).long() + (cells >= side - shift).long()


def build_swin(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """A timm SwinTransformer without classifier.

    Options: `dim`, `depths`, `heads` (per stage), `window`, `patch`, `mlp_ratio`, `qkv_bias`,
    `padding` (timm, torchvision: what happens at sizes that windows do not fill).
    """
    if output_stride != 32:
        raise BadOption(f"output stride {output_stride}: a Swin transformer's is 32; leave the option out.")
    padding = options.get("padding", "timm")
    if padding not in PADDINGS:
        raise UnknownName.among("padding", padding, PADDINGS)
    trunk = SwinTransformer(
        # a last stage of one window: no window shrinks, whatever the images' size will be
        img_size=options["patch"] * 8 * options["window"],
        patch_size=options["patch"],
        num_classes=0,
        global_pool="",
        embed_dim=options["dim"],
        depths=tuple(options["depths"]),
        num_heads=tuple(options["heads"]),
        window_size=options["window"],
        mlp_ratio=options.get("mlp_ratio", 4.0),
        qkv_bias=options.get("qkv_bias", True),
        drop_path_rate=0.0,
        strict_img_size=False,
    )
    if padding == "torchvision":
        for block in (block for stage in trunk.layers for block in stage.blocks):
            block.__class__ = PadThenShift
    return trunk  # type: ignore[no-any-return]


def _levels(trunk: Any) -> tuple[Level, ...]:
    return tuple(Level(info["reduction"], info["num_chs"]) for info in trunk.feature_info)


def _maps(trunk: Any, images: Tensor) -> list[Tensor]:
    patch = trunk.patch_embed.patch_size[0]
    x = trunk.patch_embed(pad(images, (0, -images.shape[-1] % patch, 0, -images.shape[-2] % patch)))
    maps = []
    for stage in trunk.layers:
        x = stage(x)
        maps.append(x.permute(0, 3, 1, 2).contiguous())
    return maps


def _stages(trunk: Any) -> list[list[nn.Module]]:
    *stages, last = ([stage] for stage in trunk.layers)
    return [[trunk.patch_embed], *stages, [*last, trunk.norm]]


SWIN = Kind("swin", build_swin, _levels, _maps, _stages, after_levels=("norm",))
