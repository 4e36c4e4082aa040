"""Named architectures, and names for networks that were inferred from shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from transfer.errors import UnknownName
from transfer.schemas.checkpoint import BackboneSpec


def _resnet(block: str, *depths: int, **options: Any) -> dict[str, Any]:
    return {"block": block, "depths": list(depths), **options}


_D: dict[str, Any] = {"stem": "deep", "stem_width": 32, "avg_down": True}


def _times(factor: int) -> dict[str, Any]:
    return {"stem_width": 64 * factor, "widths": [width * factor for width in (64, 128, 256, 512)]}


def _clip(width: int) -> dict[str, Any]:
    """Describe CLIP's ModifiedResNet: ResNet-D's stem, but average pools in the place of all strides but the first."""
    widths = {} if width == 64 else {"widths": [width * factor for factor in (1, 2, 4, 8)]}
    return {"stem": "deep", "stem_width": width // 2, "avg_down": True, "antialias": True, **widths}


RESNETS: dict[str, dict[str, Any]] = {
    "resnet18": _resnet("basic", 2, 2, 2, 2),
    "resnet34": _resnet("basic", 3, 4, 6, 3),
    "resnet50": _resnet("bottleneck", 3, 4, 6, 3),
    "resnet101": _resnet("bottleneck", 3, 4, 23, 3),
    "resnet152": _resnet("bottleneck", 3, 8, 36, 3),
    "resnet200": _resnet("bottleneck", 3, 24, 36, 3),
    "resnet18d": _resnet("basic", 2, 2, 2, 2, **_D),
    "resnet34d": _resnet("basic", 3, 4, 6, 3, **_D),
    "resnet50d": _resnet("bottleneck", 3, 4, 6, 3, **_D),
    "resnet101d": _resnet("bottleneck", 3, 4, 23, 3, **_D),
    "resnet152d": _resnet("bottleneck", 3, 8, 36, 3, **_D),
    "resnext50_32x4d": _resnet("bottleneck", 3, 4, 6, 3, groups=32, base_width=4),
    "resnext101_32x4d": _resnet("bottleneck", 3, 4, 23, 3, groups=32, base_width=4),
    "resnext101_32x8d": _resnet("bottleneck", 3, 4, 23, 3, groups=32, base_width=8),
    "resnext101_64x4d": _resnet("bottleneck", 3, 4, 23, 3, groups=64, base_width=4),
    "wide_resnet50_2": _resnet("bottleneck", 3, 4, 6, 3, base_width=128),
    "wide_resnet101_2": _resnet("bottleneck", 3, 4, 23, 3, base_width=128),
    "resnet18_cifar": _resnet("basic", 2, 2, 2, 2, stem="cifar"),
    "resnet34_cifar": _resnet("basic", 3, 4, 6, 3, stem="cifar"),
    "resnet50_cifar": _resnet("bottleneck", 3, 4, 6, 3, stem="cifar"),
    "resnet50x2": _resnet("bottleneck", 3, 4, 6, 3, **_times(2)),
    "resnet50x4": _resnet("bottleneck", 3, 4, 6, 3, **_times(4)),
    "resnet50x5": _resnet("bottleneck", 3, 4, 6, 3, **_times(5)),
    "resnet101x2": _resnet("bottleneck", 3, 4, 23, 3, **_times(2)),
    "resnet152x2": _resnet("bottleneck", 3, 8, 36, 3, **_times(2)),
    "resnet50_clip": _resnet("bottleneck", 3, 4, 6, 3, **_clip(64)),
    "resnet101_clip": _resnet("bottleneck", 3, 4, 23, 3, **_clip(64)),
    "resnet50x4_clip": _resnet("bottleneck", 4, 6, 10, 6, **_clip(80)),
    "resnet50x16_clip": _resnet("bottleneck", 6, 8, 18, 8, **_clip(96)),
    "resnet50x64_clip": _resnet("bottleneck", 3, 15, 36, 10, **_clip(128)),
}

PREACTIVATION_DEPTHS: dict[int, tuple[int, ...]] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BIT_WIDTHS: dict[int, tuple[int, ...]] = {50: (1, 3), 101: (1, 3), 152: (2, 4)}
"""Depth → multiples of the standard width."""


def _bit(depth: int, factor: int) -> dict[str, Any]:
    wide = {"stem_width": 64 * factor, "widths": [256 * factor * 2**stage for stage in range(4)]}
    standardised = {"weight_standardised": True, "pool_padding": "zeros"}
    return {"depths": list(PREACTIVATION_DEPTHS[depth]), **(wide if factor > 1 else {}), **standardised}


RESNETS_V2: dict[str, dict[str, Any]] = {
    **{f"resnetv2_{d}x{f}_bit": _bit(d, f) for d, factors in BIT_WIDTHS.items() for f in factors},
    **{f"resnetv2_{d}": {"depths": list(depths), "norm": "batch"} for d, depths in PREACTIVATION_DEPTHS.items()},
    "resnetv2_50d": {"depths": [3, 4, 6, 3], "norm": "batch", "stem": "deep", "avg_down": True},
}

CONVNEXT_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "atto": (40, (2, 2, 6, 2)),
    "femto": (48, (2, 2, 6, 2)),
    "pico": (64, (2, 2, 6, 2)),
    "nano": (80, (2, 2, 8, 2)),
    "tiny": (96, (3, 3, 9, 3)),
    "small": (96, (3, 3, 27, 3)),
    "base": (128, (3, 3, 27, 3)),
    "large": (192, (3, 3, 27, 3)),
    "xlarge": (256, (3, 3, 27, 3)),
    "huge": (352, (3, 3, 27, 3)),
}
"""Name → width of the first stage and depths."""

VIT_SIZES: dict[str, tuple[int, int, int]] = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
    "giant": (1408, 40, 16),
    "giant2": (1536, 40, 24),
    "gigantic": (1664, 48, 16),
    "so400m": (1152, 27, 16),
}
"""Name → width, depth, heads."""

DINOV3_SIZES: dict[tuple[int, int], str] = {
    (384, 12): "small",
    (768, 12): "base",
    (1024, 24): "large",
    (1280, 32): "huge",
    (4096, 40): "7b",
}
"""Width and depth → name; a head has 64 channels, in the last 128."""

SWIN_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "tiny": (96, (2, 2, 6, 2)),
    "small": (96, (2, 2, 18, 2)),
    "base": (128, (2, 2, 18, 2)),
    "large": (192, (2, 2, 18, 2)),
}
"""Name → width and depths; a head has 32 channels."""


def _vit(size: str, patch: int, image: int) -> dict[str, Any]:
    dim, depth, heads = VIT_SIZES[size]
    return {"image": [image, image], "patch": patch, "dim": dim, "depth": depth, "heads": heads}


def _swin(size: str, window: int) -> dict[str, Any]:
    dim, depths = SWIN_SIZES[size]
    heads = [dim * 2**stage // 32 for stage in range(4)]
    return {"dim": dim, "depths": list(depths), "heads": heads, "window": window, "patch": 4}


def _convnext(size: str, version: str) -> dict[str, Any]:
    width, depths = CONVNEXT_SIZES[size]
    options: dict[str, Any] = {"depths": list(depths), "widths": [width * factor for factor in (1, 2, 4, 8)]}
    if width < 96:  # timm's sizes, which its own training made
        options["convolutional_mlp"] = True
    return options if version == "" else {**options, "response_norm": True, "layer_scale": False}


def _wide_resnet(depth: int, factor: int) -> dict[str, Any]:
    return {"units": (depth - 4) // 6, "widths": [16 * factor * 2**block for block in range(3)]}


def _table() -> dict[str, BackboneSpec]:
    specs = [BackboneSpec("resnet", name, options) for name, options in RESNETS.items()]
    specs += [BackboneSpec("resnetv2", name, options) for name, options in RESNETS_V2.items()]
    for depth, factor in ((28, 2), (28, 8), (28, 10), (34, 2), (40, 2)):
        specs.append(BackboneSpec("wide_resnet", f"wide_resnet{depth}_{factor}", _wide_resnet(depth, factor)))
    convnexts = [(size, "") for size in CONVNEXT_SIZES if size != "huge"]
    convnexts += [(size, "v2") for size in CONVNEXT_SIZES if size != "xlarge"]
    for size, version in convnexts:
        specs.append(BackboneSpec("convnext", f"convnext{version}_{size}", _convnext(size, version)))
    for size, patch in [(size, patch) for size in ("tiny", "small", "base", "large") for patch in (8, 16)]:
        for model in ("vit", "deit"):
            specs.append(BackboneSpec("vit", f"{model}_{size}_patch{patch}_224", _vit(size, patch, 224)))
    specs.append(BackboneSpec("vit", "vit_base_patch32_224", _vit("base", 32, 224)))
    for size in SWIN_SIZES:
        specs.append(BackboneSpec("swin", f"swin_{size}_patch4_window7_224", _swin(size, 7)))
    for size in ("base", "large"):
        specs.append(BackboneSpec("swin", f"swin_{size}_patch4_window12_384", _swin(size, 12)))
    for size, patch in (("base", 32), ("base", 16), ("large", 14)):
        options = {**_vit(size, patch, 224), "pre_norm": True}
        specs.append(BackboneSpec("vit", f"vit_{size}_patch{patch}_clip_224", options))
    return {spec.arch: spec for spec in specs}


ARCHITECTURES: Mapping[str, BackboneSpec] = _table()


def spec_of(arch: str) -> BackboneSpec:
    """Return the network of a timm-style name. Raises UnknownName with the nearest names."""
    if arch not in ARCHITECTURES:
        raise UnknownName.among("architecture", arch, ARCHITECTURES)
    return ARCHITECTURES[arch]


UNNAMED = {
    *("stride_in", "padding", "pool_padding", "stem_padding", "stem_activation", "weight_eps", "eps"),
    *("projection", "bias", "convolutional_mlp", "output_stride", "levels"),
}
"""Options that leave a convolutional network its name."""


def _named(options: Mapping[str, Any], known: Iterable[tuple[str, Mapping[str, Any]]]) -> str | None:
    named = {key: value for key, value in options.items() if key not in UNNAMED}
    return next((n for n, other in known if {k: v for k, v in other.items() if k not in UNNAMED} == named), None)


def resnet_name(options: Mapping[str, Any]) -> str:
    """Return `resnet50` where the options are its, else a description such as `resnet_bottleneck_1-2-2-1`."""
    return _named(options, RESNETS.items()) or f"resnet_{options['block']}_{'-'.join(map(str, options['depths']))}"


def resnetv2_name(options: Mapping[str, Any]) -> str:
    """Return `resnetv2_50x1_bit`, `resnetv2_50`, or a description such as `resnetv2_group_1-2-2-1`."""
    depths = "-".join(map(str, options["depths"]))
    return _named(options, RESNETS_V2.items()) or f"resnetv2_{options.get('norm', 'group')}_{depths}"


def wide_resnet_name(options: Mapping[str, Any]) -> str:
    """Return `wide_resnet28_2`: depth and widening factor."""
    return f"wide_resnet{6 * options['units'] + 4}_{options['widths'][0] // 16}"


def convnext_name(options: Mapping[str, Any]) -> str:
    """Return `convnext_tiny`, `convnextv2_base`, or `convnext_16x1-1-2-1` for other widths and depths."""
    width, depths = options["widths"][0], tuple(options["depths"])
    size = next((name for name, other in CONVNEXT_SIZES.items() if other == (width, depths)), None)
    version = "v2" if options.get("response_norm") else ""
    return f"convnext{version}_{size or f'{width}x' + '-'.join(map(str, depths))}"


def vit_name(options: Mapping[str, Any]) -> str:
    """Return `vit_small_patch16_224`, `vit_small_patch14_reg4_518`, `vit_base_patch32_clip_quickgelu_224`, ...

    `vit_64x2_...` for width 64 and depth 2, `vit_conv_small_...` for a convolutional stem in place of a block,
    `..._heads12_...` where a published size has another number of heads.
    """
    stem = int(options.get("stem") == "conv")
    shape = (options["dim"], options["depth"] + stem)
    size = next((name for name, other in VIT_SIZES.items() if other[:2] == shape), f"{shape[0]}x{options['depth']}")
    parts = [
        "vit",
        *(["conv"] if stem else []),
        size,
        f"patch{options['patch']}",
        *([f"reg{options['registers']}"] if options.get("registers") else []),
        *([f"heads{options['heads']}"] if size in VIT_SIZES and VIT_SIZES[size][2] != options["heads"] else []),
        *(["clip"] if options.get("pre_norm") else []),
        *(["quickgelu"] if options.get("gelu") == "quick" else []),
        _image_name(options["image"]),
    ]
    return "_".join(parts)


def _image_name(image: Sequence[int]) -> str:
    height, width = image
    return str(height) if height == width else f"{height}x{width}"


def beit_name(options: Mapping[str, Any]) -> str:
    """Return `beit_base_patch16_224`, or `beit_64x2_...` for width 64 and depth 2."""
    shape = (options["dim"], options["depth"])
    size = next((name for name, other in VIT_SIZES.items() if other[:2] == shape), f"{shape[0]}x{shape[1]}")
    return f"beit_{size}_patch{options['patch']}_{_image_name(options['image'])}"


def dinov3_name(options: Mapping[str, Any]) -> str:
    """Return timm's `vit_small_patch16_dinov3_qkvb`, `vit_huge_plus_patch16_dinov3_qkvb`, `vit_7b_patch16_dinov3`."""
    shape = (options["dim"], options["depth"])
    size = DINOV3_SIZES.get(shape, f"{shape[0]}x{shape[1]}")
    plus = "_plus" if options.get("mlp") == "swiglu" and size != "7b" else ""
    biased = "_qkvb" if options.get("qkv_bias", True) else ""
    return f"vit_{size}{plus}_patch{options['patch']}_dinov3{biased}"


def swin_name(options: Mapping[str, Any]) -> str:
    """Return `swin_tiny_patch4_window7_224`, `swin_base_patch4_window6_192`, `swin_48x1-1-2-1_...` (other sizes)."""
    shape = (options["dim"], tuple(options["depths"]))
    depths = "-".join(map(str, options["depths"]))
    last = options.get("last_window", options["window"])
    size = next((name for name, other in SWIN_SIZES.items() if other == shape), f"{shape[0]}x{depths}")
    return f"swin_{size}_patch{options['patch']}_window{options['window']}_{8 * last * options['patch']}"


NAMERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "resnet": resnet_name,
    "resnetv2": resnetv2_name,
    "wide_resnet": wide_resnet_name,
    "convnext": convnext_name,
    "vit": vit_name,
    "beit": beit_name,
    "dinov3": dinov3_name,
    "swin": swin_name,
}


def name_of(kind: str, options: Mapping[str, Any]) -> str:
    """Name a network for people, from its builder's options."""
    return NAMERS[kind](options)


def comparable(arch: str) -> BackboneSpec | None:
    """Return the network that a checkpoint's own `arch` entry names, None for names that are not in the table."""
    name = re.sub(r"[./].*$", "", arch)
    return ARCHITECTURES.get(name)
