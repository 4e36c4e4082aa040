"""Swin transformers for images of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from transfer.backbones.kind import Kind, Level
from transfer.errors import UnknownName, UnsupportedNetwork

Sides = tuple[int, int]


def _per_side(_block: Any, shift: Sides, size: Sides, window: Sides) -> Sides:
    """Shift as torchvision does: along every side of more than one window."""
    padded = [side + -side % w for side, w in zip(size, window, strict=True)]
    rows, columns = (s if side > w else 0 for s, side, w in zip(shift, padded, window, strict=True))
    return rows, columns


def _unless_fitting(_block: Any, shift: Sides, size: Sides, window: Sides) -> Sides:
    """Shift as mmpretrain and Hugging Face do: along both sides, unless the shorter one fits into a window."""
    return shift if min(size) > min(window) else (0, 0)


def _always(_block: Any, shift: Sides, _size: Sides, _window: Sides) -> Sides:
    """Shift as mmdet and mmseg, and Swin's own detectors, do: along both sides."""
    return shift


def _as_trained(block: Any, _shift: Sides, _size: Sides, _window: Sides) -> Sides:
    """Shift as iBOT and EsViT do: in the blocks that shift at the trained size."""
    rows, columns = block.shift_size
    return rows, columns


SHIFTS: dict[str, Callable[[Any, Sides, Sides, Sides], Sides]] = {
    "torchvision": _per_side,
    "mmpretrain": _unless_fitting,
    "huggingface": _unless_fitting,
    "mmdet": _always,
    "ibot": _as_trained,
}
"""How far a block of nominal `shift` shifts a map of `size` in windows of `window`, by project."""

PADDINGS = ("timm", *SHIFTS)


class PadThenShift(SwinTransformerBlock):  # type: ignore[misc]
    """A block that pads before it shifts: every project's way but timm's.

    timm shifts first, and decides at the trained size which blocks shift at all. All ways agree there, and differ at
    sizes that windows do not fill or that give the last stage more than one window. `padding` names the project
    that decides which maps shift.
    """

    padding: str

    def _attn(self, x: Tensor) -> Tensor:
        """Attend within shifted windows of `(B, H, W, C)`; the shape stays."""
        height, width = x.shape[1:3]
        nominal = [side // 2 if any(self.target_shift_size) else 0 for side in self.window_size]
        shift = SHIFTS[self.padding](self, (nominal[0], nominal[1]), (height, width), self.window_size)
        x = pad(x, (0, 0, 0, -width % self.window_size[1], 0, -height % self.window_size[0]))
        padded = (x.shape[1], x.shape[2])
        x = torch.roll(x, shifts=[-s for s in shift], dims=(1, 2))
        windows = window_partition(x, self.window_size).flatten(1, 2)
        mask = _region_mask(padded, self.window_size, shift, x) if any(shift) else None
        windows = self.attn(windows, mask=mask).unflatten(1, self.window_size)
        x = window_reverse(windows, self.window_size, *padded)
        x = torch.roll(x, shifts=shift, dims=(1, 2))
        return x[:, :height, :width].contiguous()


class AnySizeSwin(SwinTransformer):  # type: ignore[misc]
    """timm's Swin transformer for images of any size, with absolute positions where the network has them.

    Images are padded to full patches; `absolute_pos_embed` `(1, cells, C)` is stretched bicubically, as Swin's own
    detectors do.
    """

    absolute_pos_embed: nn.Parameter | None

    def embed(self, images: Tensor) -> Tensor:
        """Return patches `(B, H/patch, W/patch, C)` of images `(B, 3, H, W)`."""
        patch = self.patch_embed.patch_size[0]
        x: Tensor = self.patch_embed(pad(images, (0, -images.shape[-1] % patch, 0, -images.shape[-2] % patch)))
        if self.absolute_pos_embed is None:
            return x
        grid = self.absolute_pos_embed.reshape(1, *self.patch_embed.grid_size, -1).permute(0, 3, 1, 2)
        if grid.shape[2:] != x.shape[1:3]:
            grid = interpolate(grid, size=x.shape[1:3], mode="bicubic")
        x = x + grid.permute(0, 2, 3, 1)
        return x

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last map after the final norm, `(B, H/32, W/32, C)`, of images `(B, 3, H, W)`."""
        x: Tensor = self.norm(self.layers(self.embed(images)))
        return x


def _region_mask(size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int], like: Tensor) -> Tensor:
    """Return -100 between cells of a window that were not neighbours before the shift: `(windows, cells, cells)`."""
    rows, columns = (_regions(*sides) for sides in zip(size, window, shift, strict=True))
    regions = (3 * rows[:, None] + columns).to(like)
    cells = window_partition(regions[None, :, :, None], window).flatten(1)
    mask: Tensor = (cells[:, None] != cells[:, :, None]).to(like) * -100.0
    return mask


def _regions(side: int, window: int, shift: int) -> Tensor:
    """Return 0 before the last window, 1 up to the seam in it, 2 behind the seam."""
    cells = torch.arange(side)
    return (cells >= side - window).long() + (cells >= side - shift).long()


def build_swin(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """Build a timm SwinTransformer without classifier.

    Options: `dim`, `depths`, `heads` (per stage), `window`, `last_window` (of the last stage, where the trained images
    gave it less than `window` cells a side), `patch`, `mlp_ratio`, `qkv_bias`, `ape` (absolute positions), `eps`,
    `padding` (timm, torchvision, mmpretrain, huggingface, mmdet, ibot: sizes that windows do not fill).
    """
    if output_stride != 32:
        raise UnsupportedNetwork(f"output stride {output_stride}: a Swin transformer's is 32; leave the option out.")
    padding = options.get("padding", "timm")
    if padding not in PADDINGS:
        raise UnknownName.among("padding", padding, PADDINGS)
    network = AnySizeSwin(
        # a last stage of one window: no window shrinks further, whatever the images' size will be
        img_size=options["patch"] * 8 * options.get("last_window", options["window"]),
        patch_size=options["patch"],
        num_classes=0,
        global_pool="",
        embed_dim=options["dim"],
        depths=tuple(options["depths"]),
        num_heads=tuple(options["heads"]),
        window_size=options["window"],
        mlp_ratio=options.get("mlp_ratio", 4.0),
        qkv_bias=options.get("qkv_bias", True),
        norm_layer=partial(nn.LayerNorm, eps=options.get("eps", 1e-5)),
        drop_path_rate=0.0,
        strict_img_size=False,
    )
    network.absolute_pos_embed = _positions(network) if options.get("ape", False) else None
    if padding != "timm":
        for block in (block for stage in network.layers for block in stage.blocks):
            block.__class__ = PadThenShift
            block.padding = padding
    return network


def _positions(network: Any) -> nn.Parameter:
    return nn.Parameter(torch.zeros(1, network.patch_embed.num_patches, network.embed_dim))


def merge_in_timms_order(tensor: Tensor) -> Tensor:
    """Permute channels `(..., 4 C)` of OpenMMLab's patch merging, unfolded channel by channel, to timm's.

    timm stacks the four patches of a merge (columns first), OpenMMLab's `nn.Unfold` interleaves them (rows first):
    for `reduction.weight` `(2 C, 4 C)` and `norm.weight`, `norm.bias` `(4 C,)`.
    """
    patches = tensor.reshape(*tensor.shape[:-1], -1, 4).transpose(-1, -2)
    return patches[..., [0, 2, 1, 3], :].flatten(-2)


def _levels(network: Any) -> tuple[Level, ...]:
    return tuple(Level(info["reduction"], info["num_chs"]) for info in network.feature_info)


def _maps(network: Any, images: Tensor) -> list[Tensor]:
    x = network.embed(images)
    maps = []
    for stage in network.layers:
        x = stage(x)
        maps.append(x.permute(0, 3, 1, 2).contiguous())
    return maps


def _stages(network: Any) -> list[list[nn.Module]]:
    *stages, last = ([stage] for stage in network.layers)
    positions = [] if network.absolute_pos_embed is None else [nn.ParameterList([network.absolute_pos_embed])]
    return [[network.patch_embed, *positions], *stages, [*last, network.norm]]


SWIN = Kind("swin", build_swin, _levels, _maps, _stages, after_levels=("norm",))
