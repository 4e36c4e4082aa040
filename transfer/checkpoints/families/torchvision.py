"""torchvision's models and its reference training scripts (github.com/pytorch/vision)."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import (
    BUFFER,
    CLASSIFIER,
    POOLED_NORM,
    RESNET,
    Layout,
    generic_network,
    has_deep_stem,
    has_head,
)
from transfer.checkpoints.keys.rules import Apply, Drop, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights, with_average
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

VIT = Layout("torchvision ViT", "vit", r"encoder\.layers\.encoder_layer_\d+\.", r"heads\.")
SWIN = Layout("torchvision Swin", "swin", r"features\.[1357]\.\d+\.(norm1|attn|mlp)\.", r"head\.")
CONVNEXT = Layout("torchvision ConvNeXt", "convnext", r"features\.[1357]\.\d+\.block\.", r"classifier\.")
LAYOUTS = (RESNET, VIT, SWIN, CONVNEXT)

_BLOCK = r"encoder\.layers\.encoder_layer_(\d+)\."
VIT_RULES: tuple[Rule, ...] = (
    Drop(r"heads\..*", CLASSIFIER),
    Rename(r"class_token", "cls_token"),
    Rename(r"conv_proj\.(.*)", r"patch_embed.proj.\1"),
    Rename(r"encoder\.pos_embedding", "pos_embed"),
    Rename(r"encoder\.ln\.(.*)", r"norm.\1"),
    Rename(_BLOCK + r"ln_([12])\.(.*)", r"blocks.\1.norm\2.\3"),
    Rename(_BLOCK + r"self_attention\.in_proj_(weight|bias)", r"blocks.\1.attn.qkv.\2"),
    Rename(_BLOCK + r"self_attention\.out_proj\.(.*)", r"blocks.\1.attn.proj.\2"),
    Rename(_BLOCK + r"mlp\.(?:0|linear_1)\.(.*)", r"blocks.\1.mlp.fc1.\2"),
    Rename(_BLOCK + r"mlp\.(?:3|linear_2)\.(.*)", r"blocks.\1.mlp.fc2.\2"),
)
SWIN_RULES: tuple[Rule, ...] = (
    Drop(r"head\..*", CLASSIFIER),
    Drop(r".*\.relative_position_index", BUFFER),
    Rename(r"features\.0\.0\.(.*)", r"patch_embed.proj.\1"),
    Rename(r"features\.0\.2\.(.*)", r"patch_embed.norm.\1"),
    *(Rename(rf"features\.{2 * stage + 1}\.(\d.*)", rf"layers.{stage}.blocks.\1") for stage in range(4)),
    *(Rename(rf"features\.{2 * stage}\.(.*)", rf"layers.{stage}.downsample.\1") for stage in (1, 2, 3)),
    Rename(r"(layers\..*)\.mlp\.0\.(.*)", r"\1.mlp.fc1.\2"),
    Rename(r"(layers\..*)\.mlp\.3\.(.*)", r"\1.mlp.fc2.\2"),
)

CONVNEXT_RULES: tuple[Rule, ...] = (
    Drop(r"classifier\.0\..*", POOLED_NORM),
    Drop(r"classifier\..*", CLASSIFIER),
    Rename(r"features\.0\.(.*)", r"stem.\1"),
    *(Rename(rf"features\.{2 * stage + 1}\.(\d.*)", rf"stages.{stage}.blocks.\1") for stage in range(4)),
    *(Rename(rf"features\.{2 * stage}\.(.*)", rf"stages.{stage}.downsample.\1") for stage in (1, 2, 3)),
    Rename(r"(stages\..*)\.block\.0\.(.*)", r"\1.conv_dw.\2"),
    Rename(r"(stages\..*)\.block\.2\.(.*)", r"\1.norm.\2"),
    Rename(r"(stages\..*)\.block\.3\.(.*)", r"\1.mlp.fc1.\2"),
    Rename(r"(stages\..*)\.block\.5\.(.*)", r"\1.mlp.fc2.\2"),
    Rename(r"(stages\..*)\.layer_scale", r"\1.gamma"),
    Apply(r".*\.gamma", lambda scale: scale[:, 0, 0], "the scale of each channel"),
)

RULES: dict[Layout, tuple[Rule, ...]] = {VIT: VIT_RULES, SWIN: SWIN_RULES, CONVNEXT: CONVNEXT_RULES}
OPTIONS = {VIT: {"position_interpolation": "torchvision"}, SWIN: {"padding": "torchvision"}}

SHARED = (
    "torchvision's ResNet names with a classifier are also those of other projects: a FractalDB ResNet looks the same, "
    "but was trained with mean 0.2 and standard deviation 0.5 (pass --family fdsl), as does a SimCLR converted from "
    "TensorFlow, which takes pixels between 0 and 1 (pass --family simclr)."
)
HEADLESS = (
    "a ResNet without classifier under `{path}`: ImageNet mean and standard deviation are assumed, as torchvision, "
    "DINO and MoCo use them; pass --family to say whose it is."
)


def _recognise(contents: Contents) -> Claim | None:
    found = generic_network(contents, LAYOUTS)
    if found is None or "version" in contents.keys or contents.timm_config:
        return None
    state_dict, layout = found
    if layout != RESNET:
        return Claim(f"{layout.name} names in {state_dict.where}")
    if has_deep_stem(state_dict) or not (has_head(state_dict, layout) or state_dict.path):
        return None
    return Claim(f"torchvision ResNet names in {state_dict.where}")


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = generic_network(contents, LAYOUTS)
    if found is None:
        return None
    model, layout = found
    networks = with_average(Weights(model), contents)
    defaults = FamilyDefaults(
        InputContract(IMAGENET_MEAN, IMAGENET_STD), options=OPTIONS.get(layout, {}), warnings=_warnings(model, layout)
    )
    own = KeyMapping(layout.kind, RULES[layout]) if layout in RULES else None
    return plan_weights(contents, networks, which, defaults, own)


def _warnings(state_dict: StateDict, layout: Layout) -> tuple[str, ...]:
    if layout != RESNET:
        return ()
    return (SHARED if has_head(state_dict, layout) else HEADLESS.format(path=state_dict.path or "/"),)


FAMILY = Family(
    name="torchvision",
    aliases=("tv",),
    description="torchvision's ResNet, ResNeXt, wide ResNet, ConvNeXt, ViT and Swin, also from its reference scripts",
    layouts=(
        "state dict at the root (ResNet: conv1, layer1.0.conv1, fc; ViT: conv_proj, encoder.layers; Swin, ConvNeXt: "
        "features)",
        "reference training file: model, model_ema, optimizer, lr_scheduler, epoch, args",
        "files of before torch 1.6, without num_batches_tracked",
    ),
    recognise=_recognise,
    plan=_plan,
)
