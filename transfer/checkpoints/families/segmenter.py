"""torchvision's segmentation networks (DeepLabV3, FCN), also as DatasetGAN trains them on what a StyleGAN drew."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, generic_state_dicts, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONE = "backbone."
HEADS = ("classifier.0.convs.0.0.weight", "classifier.4.weight", "aux_classifier.4.weight")
"""Tensors of heads: of DeepLabV3; of it and FCN; of both with an auxiliary loss."""

REST = (
    Drop(r"classifier\..*", "segmentation head"),
    Drop(r"aux_classifier\..*", "auxiliary segmentation head"),
)
OPTIONS = {"output_stride": 8}
"""torchvision dilates the last two stages."""


def _recognise(contents: Contents) -> Claim | None:
    state_dict = _state_dict(contents)
    return Claim(f"backbone.* and a segmentation head in {state_dict.where}", decisive=True) if state_dict else None


def _state_dict(contents: Contents) -> StateDict | None:
    return next((state_dict for state_dict in generic_state_dicts(contents) if _is_segmenter(state_dict)), None)


def _is_segmenter(state_dict: StateDict) -> bool:
    head = any(name in state_dict.tensors for name in HEADS)
    return head and layout_of(names_under(state_dict, BACKBONE), (RESNET,)) is not None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = _state_dict(contents)
    if state_dict is None:
        return None
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), OPTIONS)
    return plan_weights(contents, {"model": Weights(state_dict, BACKBONE, REST)}, which, defaults)


FAMILY = Family(
    name="segmenter",
    aliases=("deeplabv3", "fcn", "datasetgan"),
    description="DeepLabV3 and FCN by torchvision and DatasetGAN: dilated ResNet-50 and -101 backbones",
    layouts=(
        "state dict at the root or under model: backbone.*, classifier.*, aux_classifier.*",
        "DatasetGAN: the same under model_state_dict",
    ),
    recognise=_recognise,
    plan=_plan,
)
