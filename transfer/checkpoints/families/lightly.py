"""lightly (github.com/lightly-ai/lightly): Lightning modules of many methods around backbones without names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from transfer.checkpoints.families import torchvision
from transfer.checkpoints.families.shared.numbered import NUMBERED, first_stage, numbered_rules
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, VIT, Layout, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop, Rename
from transfer.checkpoints.keys.weights import KeyMapping, Weights, key_mapping_of, networks_under
from transfer.errors import UnsupportedNetwork
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

NETWORKS = {
    "backbone": "backbone.",
    "teacher": "teacher_backbone.",
    "student": "student_backbone.",
    "momentum": "backbone_momentum.",
    "key": "key_backbone.",
    "anchor": "anchor_backbone.",
}
"""Networks and their prefixes, in the order of preference."""

MASKED = "vit."
"""Prefix of the ViT within networks that mask patches."""

REST = (
    Drop(r"(\w*_)?(head|classifier)\w*(\..*)?", "head next to the backbone"),
    Drop(r"\w*decoder\w*(\..*)?", "decoder that paints masked patches"),
    Drop(r"(\w*_)?(criterion|loss|memory_bank|queues?|prototypes|smog)(\..*)?", "state of the loss"),
    Drop(r"(\w*backbone\w*\.)?mask_token", "token that stands in for masked patches in pre-training"),
)
HEADS = r"(\w*_)?(projection_head|online_classifier)\w*\."
UNNAMED = Layout("numbered ResNet", "resnet", NUMBERED, r"fc\.")
LAYOUTS = (UNNAMED, RESNET, VIT, torchvision.VIT)
SMALL: Mapping[str, str | bool] = {"stem": "cifar", "stem_activation": False}
"""lightly's own ResNet for small images, which as a plain sequence has no activation between stem and stages."""


def _recognise(contents: Contents) -> Claim | None:
    state_dict = _state_dict(contents)
    if state_dict is None:
        return None
    networks = _networks(state_dict)
    first = next(iter(networks.values()))
    layout = layout_of(first.names, LAYOUTS)
    own = first.prefix.endswith(MASKED) or any(re.match(HEADS, name) for name in state_dict.tensors)
    if layout and (layout == UNNAMED or (own and contents.by_lightning)):
        return Claim(f"a {layout.name} in {', '.join(networks)} of {state_dict.where}", decisive=True)
    return None


def _state_dict(contents: Contents) -> StateDict | None:
    state_dicts = (contents.state_dicts.get(path) for path in ("state_dict", ""))
    return next((state_dict for state_dict in state_dicts if state_dict and _networks(state_dict)), None)


def _networks(state_dict: StateDict) -> dict[str, Weights]:
    prefixes = {label: _inner(state_dict, prefix) for label, prefix in NETWORKS.items()}
    present = {label: p for label, p in prefixes.items() if layout_of(names_under(state_dict, p), LAYOUTS)}
    return networks_under(state_dict, present, REST)


def _inner(state_dict: StateDict, prefix: str) -> str:
    return prefix + MASKED if any(name.startswith(prefix + MASKED) for name in state_dict.tensors) else prefix


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = _state_dict(contents)
    if state_dict is None:
        return None
    _refuse_input_norm(state_dict, contents.raw.path.name)
    networks = _networks(state_dict)
    first = next(iter(networks.values()))
    layout = layout_of(first.names, LAYOUTS)
    if layout is None:
        return None
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), _options(first, layout))
    return plan_weights(contents, networks, which, defaults, _key_mapping(first.names, layout))


def _options(weights: Weights, layout: Layout) -> Mapping[str, str | bool]:
    return SMALL if layout == UNNAMED and first_stage(weights.names) == 2 else {}


def _key_mapping(names: list[str], layout: Layout) -> KeyMapping:
    if layout == torchvision.VIT:
        return KeyMapping(layout.kind, torchvision.VIT_RULES)
    if layout != UNNAMED:
        return key_mapping_of(names, layout)
    own = (Rename(r"(layer.*)\.shortcut\.(.*)", r"\1.downsample.\2"),) if any(".shortcut." in n for n in names) else ()
    return KeyMapping(layout.kind, (*numbered_rules(names), *own))


def _refuse_input_norm(state_dict: StateDict, file: str) -> None:
    """Refuse a norm over the three colours before the backbone, which lightly's command line puts there."""
    name = "backbone.0.running_mean"
    if name in state_dict.tensors:
        raise UnsupportedNetwork(
            f"{file}: a network of lightly's command line, which norms the image before its first convolution:\n"
            f"  + {name}   {tuple(state_dict.tensors[name].shape)}\nNo canonical ResNet does. Train with a module of "
            "your own, as lightly's examples show."
        )


FAMILY = Family(
    name="lightly",
    aliases=(),
    description="lightly: ResNets as plain sequences, also its own for small images, and ViTs",
    layouts=(
        "Lightning file: state_dict with backbone.0, backbone.1, backbone.4.0.conv1, ..., projection_head.*; "
        "backbone_momentum.*, teacher_backbone.*, student_backbone.*; pytorch-lightning_version",
        "the same with a ResNet's names (backbone.conv1, ..., online_classifier.*) or masked ViTs (backbone.vit.*)",
    ),
    recognise=_recognise,
    plan=_plan,
)
