"""SwAV and DeepCluster v2 (Caron et al., NeurIPS 2020; github.com/facebookresearch/swav): clustering online."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, layout_of
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

REST = (
    Drop(r"projection_head\..*", "projection head of the loss, or the classifier of its fine-tuning"),
    Drop(r"prototypes\..*", "prototypes of the clusters"),
)
HEADS = r"(module\.)*(projection_head\.(\d\.)?|prototypes\.(prototypes\d+\.)?)(weight|bias|running_\w+)$"


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_is_swav)
    heads = "projection_head or prototypes"
    return Claim(f"{heads} next to the backbone's names in {state_dict.where}", decisive=True) if state_dict else None


def _is_swav(state_dict: StateDict) -> bool:
    names = [re.sub(r"^(module\.)+", "", name) for name in state_dict.tensors]
    return layout_of(names) == RESNET and any(re.match(HEADS, name) for name in names)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = contents.first(_is_swav)
    if state_dict is None:
        return None
    # its stem pads the image by 1 and the convolution by 2, which equals the usual 3: zeros either way
    return plan_weights(
        contents,
        {"model": Weights(state_dict, rest=REST)},
        which,
        FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD)),
    )


FAMILY = Family(
    name="swav",
    aliases=("deepclusterv2", "deepcluster_v2", "deepcluster-v2"),
    description="SwAV and DeepCluster v2: ResNet-50s, also 2, 4 and 5 times as wide",
    layouts=(
        "released file: a bare state dict in .pth.tar with module.conv1.*, module.projection_head.*, "
        "module.prototypes.weight (DeepCluster v2: prototypes.prototypes0.weight)",
        "training file: the same under state_dict; epoch, optimizer, amp",
    ),
    recognise=_recognise,
    plan=_plan,
)
