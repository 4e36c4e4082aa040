"""SimMIM (Xie et al., CVPR 2022; github.com/microsoft/SimMIM): masked image modelling with Swin and ViT."""

from __future__ import annotations

from transfer.checkpoints.families.beit import beit_network, is_simmim
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import BEIT, SWIN, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights, key_mapping_of
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

PREFIX = "encoder."
REST = (
    Drop(r"encoder\.mask_token", "token that stands in for masked patches in pre-training"),
    Drop(r"decoder\..*", "head that predicts pixels"),
)


def _recognise(contents: Contents) -> Claim | None:
    weights = _weights(contents)
    if weights is None:
        return None
    evidence = "encoder.mask_token" if weights.prefix else "SimMIM's trainer"
    return Claim(f"{evidence} in {weights.state_dict.where}", decisive=True)


def _weights(contents: Contents) -> Weights | None:
    state_dict = contents.first(_is_masked)
    if state_dict is not None:
        return Weights(state_dict, PREFIX, REST)
    tuned = beit_network(contents) if is_simmim(contents) else None
    return Weights(tuned) if tuned else None


def _is_masked(state_dict: StateDict) -> bool:
    masked = PREFIX + "mask_token" in state_dict.tensors or "decoder.0.weight" in state_dict.tensors
    return masked and layout_of(names_under(state_dict, PREFIX), (BEIT, SWIN)) is not None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    weights = _weights(contents)
    layout = layout_of(weights.names, (BEIT, SWIN)) if weights else None
    if weights is None or layout is None:
        return None
    options = {"position_interpolation": "bicubic"} if layout == BEIT else {}
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), options)
    return plan_weights(contents, {"model": weights}, which, defaults, key_mapping_of(weights.names, layout))


FAMILY = Family(
    name="simmim",
    aliases=(),
    description="SimMIM: Swin-B/L at 192 pixels with windows of 6 or 12, and ViT-B with a shared position bias",
    layouts=(
        "pre-training file: model with encoder.*, encoder.mask_token, decoder.*; optimizer, lr_scheduler, config",
        "fine-tuned ViT: model with biases in every block; max_accuracy, config (a fine-tuned Swin is timm's)",
    ),
    recognise=_recognise,
    plan=_plan,
)
