"""BiT (Kolesnikov et al., ECCV 2020; github.com/google-research/big_transfer): standardised kernels, group norms."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import CLASSIFIER
from transfer.checkpoints.keys.rules import Drop, Permute, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import InputContract

CONVOLUTION = "standardized_conv2d/kernel"
PREFIX = "resnet/"
UNITS = range(1, 49)
"""More than the 36 of ResNet-152's third block."""

OPTIONS = {"weight_standardised": True, "weight_eps": 1e-10, "pool_padding": "zeros"}

RULES: tuple[Rule, ...] = (
    Rename(rf"root_block/{CONVOLUTION}", "stem.conv.weight"),
    *(Rename(rf"block{block}/(.*)", rf"stages.{block - 1}.\1") for block in (1, 2, 3, 4)),
    *(Rename(rf"(stages\.\d)\.unit{unit:02d}/(.*)", rf"\1.blocks.{unit - 1}.\2") for unit in UNITS),
    Rename(rf"(.*\.)a/proj/{CONVOLUTION}", r"\1downsample.conv.weight"),
    *(Rename(rf"(.*\.){part}/{CONVOLUTION}", rf"\1conv{number}.weight") for number, part in enumerate("abc", 1)),
    *(Rename(rf"(.*\.){part}/group_norm/(.*)", rf"\1norm{number}.\2") for number, part in enumerate("abc", 1)),
    Rename(r"group_norm/(.*)", r"norm.\1"),
    Rename(r"(.*norm\d?)\.gamma", r"\1.weight"),
    Rename(r"(.*norm\d?)\.beta", r"\1.bias"),
    Permute(r".*conv\d?\.weight", (3, 2, 0, 1)),
)


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_is_bit)
    return Claim(f"standardized_conv2d in {state_dict.where}", decisive=True) if state_dict else None


def _is_bit(state_dict: StateDict) -> bool:
    return any(CONVOLUTION in name for name in state_dict.tensors)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = contents.first(_is_bit)
    if state_dict is None:
        return None
    half = (0.5, 0.5, 0.5)
    weights = Weights(state_dict, PREFIX, (Drop(rf"{PREFIX}head/.*", CLASSIFIER),))
    return plan_weights(
        contents,
        {"model": weights},
        which,
        FamilyDefaults(InputContract(half, half), OPTIONS),
        KeyMapping("resnetv2", RULES),
    )


FAMILY = Family(
    name="bit",
    aliases=("big-transfer", "bit-s", "bit-m"),
    description="Big Transfer: ResNet-50, -101 and -152 of one to four widths, as Google wrote them",
    layouts=("NumPy archive: resnet/root_block/..., resnet/block1/unit01/a/standardized_conv2d/kernel, ...",),
    recognise=_recognise,
    plan=_plan,
)
