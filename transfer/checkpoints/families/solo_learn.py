"""solo-learn (da Costa et al., JMLR 2022; github.com/vturrisi/solo-learn): twenty methods in Lightning.

Its networks for CIFAR have a stem of one 3x3 convolution that pads by 2, and no pooling.
"""

from __future__ import annotations

import re
from typing import Any

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, Layout, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import KeyMapping, networks_under
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONES = ("backbone.", "encoder.")
"""Prefix of the backbone; before 2022 it was `encoder`. The momentum network has `momentum_` before it."""

CIFAR10 = InputContract((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))
CIFAR100 = InputContract((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
IMAGENET = InputContract(IMAGENET_MEAN, IMAGENET_STD)

WIDE_RESNET = Layout("wide ResNet", "wide_resnet", r"block[123]\.layer\.\d+\.", r"fc\.")
KEY_MAPPINGS = {WIDE_RESNET: KeyMapping(WIDE_RESNET.kind, ())}
HEADS = r"(momentum_)?(classifier|projector|head)\.|decoder\."
REST = (
    Drop(r"(momentum_)?classifier\..*", "classifier trained along with the method"),
    Drop(r"(momentum_)?(projector|head)\..*", "projection head of the loss"),
    Drop(r"predictor2?\..*", "prediction head of the loss"),
    Drop(r"prototypes\..*", "prototypes of the clusters"),
    Drop(r"queue(_\w+)?|local_memory_\w+", "memory of features"),
    Drop(r"decoder\..*", "decoder that paints masked patches"),
    Drop(r"(transformer_encoder|pos_enc)\..*", "transformer over features of the loss"),
    Drop(r"(whitening|dino_loss_func)\..*", "state of the loss"),
)
TWELVE_HEADS = (192, 384, 768)
"""Widths of the ViTs that MoCo v3 and MAE give 12 heads here, where others have 3, 6 and 12."""

UNSAID_DATA = (
    "a stem for small images, and a classifier of {classes} classes: the mean and standard deviation of CIFAR-10 are "
    "assumed (solo-learn writes the data set into args.json next to its files)."
)
STL10 = (
    "a classifier of 10 classes: if it was trained on STL-10, solo-learn normalised with mean (0.4914, 0.4823, 0.4466) "
    "and standard deviation (0.247, 0.243, 0.261); ImageNet's are assumed (args.json next to the file says which)."
)


def _recognise(contents: Contents) -> Claim | None:
    found = _found(contents)
    if found is None:
        return None
    state_dict, prefix = found
    momentum = any(name.startswith(f"momentum_{prefix}") for name in state_dict.tensors)
    if momentum or (contents.by_lightning and any(re.match(HEADS, n) for n in state_dict.tensors)):
        return Claim(f"Lightning's file with {prefix}* and heads next to it in {state_dict.where}", decisive=True)
    return None


def _found(contents: Contents) -> tuple[StateDict, str] | None:
    """Return the state dict of the method, and the prefix of its backbone."""
    state_dict = contents.state_dicts.get("state_dict")
    known = [prefix for prefix in BACKBONES if state_dict and _layout(names_under(state_dict, prefix))]
    return (state_dict, known[0]) if state_dict and known else None


def _layout(names: list[str]) -> Layout | None:
    return layout_of(names) or layout_of(names, (WIDE_RESNET,))


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = _found(contents)
    if found is None:
        return None
    state_dict, prefix = found
    prefixes = {"backbone": prefix, "momentum": f"momentum_{prefix}"}
    present = {label: p for label, p in prefixes.items() if label == "backbone" or names_under(state_dict, p)}
    networks = networks_under(state_dict, present, REST)
    layout = _layout(networks["backbone"].names)
    defaults = _defaults(state_dict, prefix, layout)
    return plan_weights(contents, networks, which, defaults, KEY_MAPPINGS.get(layout) if layout else None)


def _defaults(state_dict: StateDict, prefix: str, layout: Layout | None) -> FamilyDefaults:
    stem = state_dict.tensors.get(f"{prefix}conv1.weight")
    small = layout == RESNET and stem is not None and stem.shape[-2:] == (3, 3)
    contract, warnings = _contract(state_dict, small or layout == WIDE_RESNET)
    return FamilyDefaults(contract, _options(layout, small), heads=_heads(state_dict, prefix), warnings=warnings)


def _options(layout: Layout | None, small: bool) -> dict[str, Any]:
    if layout == WIDE_RESNET:
        return {"eps": 1e-3, "transition": "none"}
    return {"stem": "cifar", "stem_padding": 2} if small else {}


def _contract(state_dict: StateDict, small: bool) -> tuple[InputContract, tuple[str, ...]]:
    """Return the contract: nothing names the data set, but the classifier counts its classes."""
    weight = state_dict.tensors.get("classifier.weight")
    classes = None if weight is None or weight.ndim != 2 else int(weight.shape[0])
    if not small:
        return IMAGENET, (STL10,) if classes == 10 else ()
    if classes in (10, 100):
        return CIFAR10 if classes == 10 else CIFAR100, ()
    return CIFAR10, (UNSAID_DATA.format(classes=classes or "unknown"),)


def _heads(state_dict: StateDict, prefix: str) -> int | None:
    """Return 12 for ViTs of MoCo v3, whose momentum projection has no biases, and of MAE, which has a decoder."""
    token = state_dict.tensors.get(f"{prefix}cls_token")
    projection = "momentum_projector.0"
    unbiased = f"{projection}.weight" in state_dict.tensors and f"{projection}.bias" not in state_dict.tensors
    decoder = any(name.startswith("decoder.") for name in state_dict.tensors)
    return 12 if token is not None and token.shape[-1] in TWELVE_HEADS and (unbiased or decoder) else None


FAMILY = Family(
    name="solo_learn",
    aliases=("solo-learn", "solo"),
    description="solo-learn: ResNets (also for CIFAR), wide ResNets, ViTs and Swins of all its methods",
    layouts=(
        "Lightning file: state_dict with backbone.* (older: encoder.*), momentum_backbone.*, classifier.*, "
        "projector.*; pytorch-lightning_version",
    ),
    recognise=_recognise,
    plan=_plan,
)
