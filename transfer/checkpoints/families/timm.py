"""timm's models and training files, and those of projects built on its names (DeiT, Swin, DINOv2 as timm has it)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import timm.models
from timm.models.resnet import ResNet
from timm.models.vision_transformer import VisionTransformer

from transfer.checkpoints.families.shared.timm_networks import outline_by_timm, resnet_options, vit_options
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.declared import contract_of, triple
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import (
    ORIGINAL_CONVNEXT,
    RESNET,
    RESNETV2,
    VIT,
    Layout,
    generic_network,
    has_head,
    is_torchvision_resnet,
)
from transfer.checkpoints.keys.weights import Weights, with_average
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

INVISIBLE: Mapping[Layout, tuple[type, Callable[[Any], dict[str, Any]]]] = {
    RESNET: (ResNet, resnet_options),
    VIT: (VisionTransformer, vit_options),
}
"""Layout → timm's class, and its function for the options that leave no trace in weights."""

INCEPTION = (0.5, 0.5, 0.5)
OTHER_METHODS = r"(mask_token|masked_embed|decoder_|.*\.q_bias$|rel_pos_bias\.|.*\.relative_position_bias_table$)"
"""Names in a ViT that belong to methods with other networks: MAE, DINOv2, BEiT."""

UNKNOWN_STATISTICS = (
    "nothing in the file says how its images were normalised: mean and standard deviation 0.5 are assumed, as timm's "
    "own ViTs use them; DeiT and DINO use ImageNet's (for a DINO backbone pass --family dino)."
)
FORMULA_DRIVEN = (
    "formula-driven pre-training (VisualAtom, ExFractalDB, RCDB) writes files of the same form: they are read the same "
    "way; pass --family fdsl to name them so."
)


def _recognise(contents: Contents) -> Claim | None:
    found = generic_network(contents)
    if found is None:
        return None
    state_dict, layout = found
    if layout == VIT and any(re.match(OTHER_METHODS, name) for name in state_dict.tensors):
        return None
    if layout == ORIGINAL_CONVNEXT and not any(re.search(r"\.(gamma|grn\.beta)$", name) for name in state_dict.tensors):
        return None  # VICRegL's, which scale no layer
    if "version" in contents.keys:
        return Claim(f"{layout.name} names in {state_dict.where} of a file by timm's saver")
    if contents.timm_config:
        return Claim(f"{layout.name} names next to timm's config.json")
    if is_torchvision_resnet(state_dict, layout) and (
        contents.raw.container != "safetensors" or has_head(state_dict, layout)
    ):
        return None
    timms_own = contents.raw.container == "safetensors" or layout != VIT or _newer_than_dino(state_dict)
    if state_dict.path or has_head(state_dict, layout) or timms_own:
        return Claim(f"timm's {layout.name} names in {state_dict.where}")
    return None


def _newer_than_dino(state_dict: StateDict) -> bool:
    return any(re.search(r"\bls1\.|reg_token|dist_token|fc1_g|_norm\.", name) for name in state_dict.tensors)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = generic_network(contents)
    if found is None:
        return None
    model, layout = found
    contract, warnings = _contract(contents, model, layout)
    heads, image = contents.timm_args.get("num_heads"), _image(contents)
    defaults = FamilyDefaults(contract, _options(contents, layout), heads=heads, image=image, warnings=warnings)
    return plan_weights(contents, with_average(Weights(model), contents), which, defaults)


def _options(contents: Contents, layout: Layout) -> dict[str, Any]:
    """Return options that the name of the architecture tells and weights do not.

    Of timm's pre-activation ResNets with group normalisation, all but those named `_gn` are BiT's.
    """
    if layout == RESNETV2 and contents.arch and "_gn" in contents.arch:
        return {"weight_standardised": False, "pool_padding": "symmetric"}
    name = contents.timm_config.get("architecture", contents.arch)
    if layout not in INVISIBLE or not isinstance(name, str):
        return {}
    kind, options_of = INVISIBLE[layout]
    network = outline_by_timm(name, contents.timm_args)
    return options_of(network) if isinstance(network, kind) else {}


def _pretrained_cfg(contents: Contents) -> Mapping[str, Any]:
    cfg = contents.timm_config.get("pretrained_cfg", contents.timm_config)
    return cfg if isinstance(cfg, Mapping) else {}


def _image(contents: Contents) -> tuple[int, int] | None:
    size = _pretrained_cfg(contents).get("input_size")
    return (int(size[-2]), int(size[-1])) if isinstance(size, list) and len(size) == 3 else None


def _contract(contents: Contents, state_dict: StateDict, layout: Layout) -> tuple[InputContract, tuple[str, ...]]:
    """Return the contract in the file; else timm's for its architecture; else its layout's usual one."""
    for says in (_pretrained_cfg(contents), contents.args):
        if contract := contract_of(says):
            return contract, ()
    warnings = (FORMULA_DRIVEN,) if "version" in contents.keys and layout != RESNET else ()
    default = timm.models.get_pretrained_cfg(contents.arch) if contents.arch else None
    if default is not None and (mean := triple(default.mean)) and (std := triple(default.std)):
        return InputContract(mean, std), warnings
    imagenet = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    # files with a bare `model` come from DeiT's and Swin's scripts, which normalise as torchvision does
    if layout not in (VIT, RESNETV2) or state_dict.path == "model" or "dist_token" in state_dict.tensors:
        return imagenet, warnings
    unknown = () if layout == RESNETV2 and _is_bit(state_dict) else (UNKNOWN_STATISTICS,)
    return InputContract(INCEPTION, INCEPTION), (*warnings, *unknown)


def _is_bit(state_dict: StateDict) -> bool:
    return not any(name.endswith("running_mean") for name in state_dict.tensors)


FAMILY = Family(
    name="timm",
    aliases=("deit", "swin", "convnext"),
    description="timm's ResNet, ResNet-D, ResNetV2, BiT, ConvNeXt, ViT, DeiT and Swin (old and new names), DINOv2 as "
    "timm has it, and ConvNeXt (V2) as its authors write it",
    layouts=(
        "state dict at the root of a .pth or .safetensors file, with or without config.json next to it",
        "training file: state_dict, state_dict_ema, arch, args, version; module. and _orig_mod. in any nesting",
        "state dict under model (DeiT, Swin, ConvNeXt)",
    ),
    recognise=_recognise,
    plan=_plan,
)
