"""Formula-driven supervised learning: FractalDB, ExFractalDB, RCDB, VisualAtom, and this project's own pre-training."""

from __future__ import annotations

import re
from collections.abc import Mapping

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.declared import declared_contract
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, VIT, Layout, generic_network, has_head, is_torchvision_resnet
from transfer.checkpoints.keys.weights import Weights, with_average
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

FORMULA_CLASSES = 21_000
"""Categories of the large formula-driven sets; ImageNet-21k has 21,841."""

FORMULA_WORDS = r"fractal|visual_?atom|rcdb|formula|fdsl"
FRACTALDB_RESNET = InputContract((0.2, 0.2, 0.2), (0.5, 0.5, 0.5))
FRACTALDB_VIT = InputContract((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
TIMM_SAVED = InputContract(IMAGENET_MEAN, IMAGENET_STD)


def _recognise(contents: Contents) -> Claim | None:
    found = generic_network(contents)
    if found is None:
        return None
    state_dict, layout = found
    keys = contents.keys
    if "pretraining" in keys:
        return Claim(f"`pretraining` ({_method(contents)}) next to the weights", decisive=True)
    if {"state_dict", "optimizer", "scheduler"} <= keys and not {"arch", "version"} & keys:
        if is_torchvision_resnet(state_dict, layout) and has_head(state_dict, layout):
            return Claim("state_dict, optimizer, scheduler, as FractalDB's ResNet training writes them", decisive=True)
    elif _is_fractaldb_vit(contents, layout):
        return Claim("model, lr_scheduler, scaler without args, as FractalDB's ViT training writes them", decisive=True)
    elif "version" in keys and (evidence := _formula_evidence(contents, state_dict)):
        return Claim(f"timm's saver with {evidence}", decisive=True)
    return None


def _method(contents: Contents) -> str:
    pretraining = contents.raw.tree.get("pretraining")
    return str(pretraining.get("method", "unnamed")) if isinstance(pretraining, Mapping) else "unnamed"


def _is_fractaldb_vit(contents: Contents, layout: Layout) -> bool:
    keys = contents.keys
    return layout == VIT and {"model", "lr_scheduler", "scaler"} <= keys and not {"args", "model_ema", "config"} & keys


def _formula_evidence(contents: Contents, state_dict: StateDict) -> str | None:
    head = next(
        (state_dict.tensors[name] for name in ("head.weight", "head.fc.weight") if name in state_dict.tensors), None
    )
    if head is not None and head.shape[0] == FORMULA_CLASSES:
        return f"a classifier of {FORMULA_CLASSES:,} formulas"
    options = {key: value for key, value in contents.args.items() if isinstance(value, str)}
    named = next((key for key, value in options.items() if re.search(FORMULA_WORDS, value, re.IGNORECASE)), None)
    return f"{named}={options[named]!r} in its options" if named else None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = generic_network(contents)
    if found is None:
        return None
    model, layout = found
    return plan_weights(
        contents, with_average(Weights(model), contents), which, FamilyDefaults(_contract(contents, layout))
    )


def _contract(contents: Contents, layout: Layout) -> InputContract:
    declared = contents.raw.tree.get("input")
    if isinstance(declared, Mapping):
        return declared_contract(declared, contents.raw.path)
    if "version" in contents.keys:
        return TIMM_SAVED
    if layout == RESNET:
        return FRACTALDB_RESNET
    return FRACTALDB_VIT if layout == VIT else TIMM_SAVED


FAMILY = Family(
    name="fdsl",
    aliases=("fractaldb", "exfractaldb", "rcdb", "visualatom"),
    description="formula-driven pre-training: FractalDB, ExFractalDB, RCDB, VisualAtom, and `transfer pretrain`",
    layouts=(
        "FractalDB ResNet: state_dict, optimizer, scheduler, epoch; the bare state dict only with --family fdsl",
        "FractalDB ViT: model, optimizer, lr_scheduler, scaler, epoch",
        "VisualAtom, ExFractalDB, RCDB: timm's training file with 21,000 classes or options that name them",
        "transfer pretrain: state_dict, arch, input, pretraining, optimizer, scheduler, step, epoch",
    ),
    recognise=_recognise,
    plan=_plan,
    pretraining="pre-trained on images drawn from formulas",
)
