"""torchvision's segmentation networks (DeepLabV3, FCN), also as DatasetGAN trains them on what a StyleGAN drew."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import RESNET, layout_of, names_under, plain_branches
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Copy, Traits, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONE = "backbone."
HEADS = ("classifier.0.convs.0.0.weight", "classifier.4.weight", "aux_classifier.4.weight")
"""Of DeepLabV3; of it and FCN; of both with an auxiliary loss."""

BESIDE = (
    Drop(r"classifier\..*", "segmentation head"),
    Drop(r"aux_classifier\..*", "auxiliary segmentation head"),
)
OPTIONS = {"output_stride": 8}
"""torchvision dilates the last two stages."""


def _recognise(contents: Contents) -> Claim | None:
    branch = _branch(contents)
    return Claim(f"backbone.* and a segmentation head in {branch.where}", decisive=True) if branch else None


def _branch(contents: Contents) -> Branch | None:
    return next((branch for branch in plain_branches(contents) if _is_segmenter(branch)), None)


def _is_segmenter(branch: Branch) -> bool:
    head = any(name in branch.tensors for name in HEADS)
    return head and layout_of(names_under(branch, BACKBONE), (RESNET,)) is not None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    branch = _branch(contents)
    if branch is None:
        return None
    traits = Traits(InputContract(IMAGENET_MEAN, IMAGENET_STD), OPTIONS)
    return plan_copy(contents, {"model": Copy(branch, BACKBONE, BESIDE)}, which, traits)


FAMILY = Family(
    name="segmenter",
    aliases=("deeplabv3", "fcn", "datasetgan"),
    description="DeepLabV3 and FCN by torchvision and DatasetGAN: dilated ResNet-50 and -101 trunks",
    layouts=(
        "state dict at the root or under model: backbone.*, classifier.*, aux_classifier.*",
        "DatasetGAN: the same under model_state_dict",
    ),
    recognise=_recognise,
    plan=_plan,
)
