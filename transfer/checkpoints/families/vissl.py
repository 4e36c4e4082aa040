"""VISSL (github.com/facebookresearch/vissl): one trainer for many methods, its backbone deep in a tree of states."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from transfer.checkpoints.families.torchvision import VIT_RULES
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, VIT, Layout, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop, Permute, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights, key_mapping_of
from transfer.errors import UnsupportedNetwork
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONE = "classy_state_dict.base_model.model.trunk"
LOSSES = ("classy_state_dict.loss", "loss")
MOMENTUM = {
    "momentum_teacher.module.trunk.": ("student", "teacher"),
    "momentum_teacher.trunk.": ("student", "teacher"),
    "trunk.": ("student", "teacher"),
    "moco_encoder.trunk.": ("query", "key"),
}
"""Prefix of the other network in the loss's state → names of the backbone and of that network in the method's paper."""

PREFIXES = ("base_model._feature_blocks.", "_feature_blocks.", "base_model.", "")
"""Prefixes of the backbone's names: a frozen backbone is inside a feature extractor; only ViTs name no blocks."""

CLASSY_VIT = Layout("ClassyVision ViT", "vit", r"encoder\.layers\.layer_\d+\.", r"heads?\.")
LAYOUTS = (RESNET, VIT, CLASSY_VIT)
VISSL_VIT_RULES: tuple[Rule, ...] = (
    Drop(r"patch_masking\..*", "token that stands in for masked patches in pre-training"),
    Rename(r"class_token", "cls_token"),
    Rename(r"pos_embedding", "pos_embed"),
)
CLASSY_RULES: tuple[Rule, ...] = (
    Permute(r"encoder\.pos_embedding", (1, 0, 2)),
    Rename(r"encoder\.layers\.layer_(\d+\..*)", r"encoder.layers.encoder_layer_\1"),
    *VIT_RULES,
)
IN_LOSS = (
    Drop(r"(.*\.)?heads\..*", "projection head of the loss"),
    Drop(r"center|queue(_ptr)?|.*criterion\..*", "state of the loss"),
)
POOLING = Drop(r"feature_pool_ops\..*", "pooling of the evaluation")
TEACHER = "the backbone is the {chosen}, as VISSL evaluates it; the loss holds the {other}: --which {other}."
OTHER_BACKBONE = r"(base_model\.)?(_feature_blocks\.)?(conv1\.0\.|stem\.|res\d\.block|block\d\.|trunk_output\.)"


def _recognise(contents: Contents) -> Claim | None:
    state_dict = _state_dict(contents)
    if state_dict is None:
        return None
    where = "classy_state_dict" if "classy_state_dict" in contents.keys else "_feature_blocks.*"
    return Claim(f"{where} with a backbone in {state_dict.where}", decisive=True)


def _state_dict(contents: Contents) -> StateDict | None:
    if BACKBONE in contents.state_dicts:
        return contents.state_dicts[BACKBONE]
    return contents.first(_has_feature_blocks)


def _has_feature_blocks(state_dict: StateDict) -> bool:
    return any(re.match(r"(base_model\.)?_feature_blocks\.", name) for name in state_dict.tensors)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = _state_dict(contents)
    if state_dict is None:
        return None
    prefix = _prefix(state_dict.tensors)
    backbone = Weights(state_dict, prefix, (POOLING,))
    layout = layout_of(backbone.names, LAYOUTS)
    if layout is None:
        _refuse_other_backbones(state_dict, contents.raw.path.name)
        return None
    networks, warnings = _networks(contents, backbone)
    options = {"position_interpolation": "bicubic"} if layout == VIT else {}
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), options, warnings=warnings)
    return plan_weights(contents, networks, which, defaults, _key_mapping(backbone.names, layout))


def _prefix(names: Iterable[str]) -> str:
    names = list(names)
    return next(prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in names))


def _networks(contents: Contents, backbone: Weights) -> tuple[dict[str, Weights], tuple[str, ...]]:
    """Return the backbone, and the loss's network where the method has one, with a warning."""
    momentum = next(_momentum_networks(contents), None)
    if momentum is None:
        return {"trunk": backbone}, ()
    (chosen, other), weights = momentum
    return {chosen: backbone, other: weights}, (TEACHER.format(chosen=chosen, other=other),)


def _momentum_networks(contents: Contents) -> Iterator[tuple[tuple[str, str], Weights]]:
    paths = [path for loss in LOSSES for path in (loss, f"{loss}.teacher") if path in contents.state_dicts]
    for state_dict in (contents.state_dicts[path] for path in paths):
        for prefix, labels in MOMENTUM.items():
            if names := names_under(state_dict, prefix):
                yield labels, Weights(state_dict, prefix + _prefix(names), IN_LOSS)


def _key_mapping(names: list[str], layout: Layout) -> KeyMapping:
    if layout == CLASSY_VIT:
        return KeyMapping(layout.kind, CLASSY_RULES)
    key_mapping = key_mapping_of(names, layout)
    return key_mapping if layout == RESNET else KeyMapping(layout.kind, (*VISSL_VIT_RULES, *key_mapping.rules))


def _refuse_other_backbones(state_dict: StateDict, file: str) -> None:
    other = [name for name in state_dict.tensors if re.match(OTHER_BACKBONE, name)]
    if other:
        raise UnsupportedNetwork(
            f"{file}: a backbone of VISSL that has no canonical network here, such as a RegNet: {len(other)} tensors "
            f"like\n  + {other[0]}\n  + {other[-1]}\nResNets and ViTs can be converted."
        )


FAMILY = Family(
    name="vissl",
    aliases=(),
    description="VISSL: ResNets, ResNeXts, wide ResNets and ViTs of any of its methods",
    layouts=(
        "training file: classy_state_dict.base_model.model.trunk with _feature_blocks.* (ViTs: blocks.*), heads "
        "next to them; the momentum network of DINO, iBOT, MSN and MoCo in classy_state_dict.loss",
        "a state dict with _feature_blocks.* anywhere",
    ),
    recognise=_recognise,
    plan=_plan,
)
