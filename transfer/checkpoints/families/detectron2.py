"""Detectron2 (github.com/facebookresearch/detectron2) and Detectron: backbones from ImageNet and inside detectors."""

from __future__ import annotations

import math
import re

from torch import Tensor

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import CLASSIFIER
from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Apply, Drop, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, ChannelOrder, InputContract

NAMES = r"(backbone\.(bottom_up\.)?|roi_heads\.)?res[2-5]\.\d+\.(conv\d|shortcut)\."
BLOBS = r"res[2-5]_\d+_branch(1|2[abc])_"
"""Caffe2's names, which Detectron2 still reads."""

MSRA = InputContract((102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0), "0-255", "BGR")
ZOO = InputContract((103.53, 116.28, 123.675), (1.0, 1.0, 1.0), "0-255", "BGR")
RESNEXT = InputContract((103.53, 116.28, 123.675), (57.375, 57.12, 58.395), "0-255", "BGR")
TORCHVISION = InputContract(IMAGENET_MEAN, IMAGENET_STD)

EPS = 1e-5
PYRAMID = "backbone.bottom_up."
REST = (
    Drop(r"backbone\.(fpn_(lateral|output)\d|top_block)\..*", "feature pyramid"),
    Drop(
        r"(proposal_generator|roi_heads(?!\.res5\.)|head|sem_seg_head|ins_embed_head)\..*",
        "detector around the backbone",
    ),
    Drop(r"anchor_generator\..*", "detector around the backbone"),
    Drop(r"pixel_(mean|std)", "statistics of the input: see the input contract"),
)
WITHOUT_PYRAMID: tuple[Rule, ...] = (
    Rename(r"roi_heads\.res5\.(.*)", r"res5.\1"),  # such detectors apply the last stage to regions
    Rename(r"backbone\.(stem|res[2-5])\.(.*)", r"\1.\2"),
)
RULES: tuple[Rule, ...] = (
    Drop(r"(stem\.fc|linear|stem\.linear)\..*", CLASSIFIER),
    *(Rename(rf"res{number + 1}\.(.*)", rf"layer{number}.\1") for number in (1, 2, 3, 4)),
    Rename(r"stem\.conv1\.norm\.(.*)", r"bn1.\1"),
    Rename(r"stem\.conv1\.(.*)", r"conv1.\1"),
    Rename(r"(.*)\.conv(\d)\.norm\.(.*)", r"\1.bn\2.\3"),
    Rename(r"(.*)\.shortcut\.norm\.(.*)", r"\1.downsample.1.\2"),
    Rename(r"(.*)\.shortcut\.(.*)", r"\1.downsample.0.\2"),
)
BLOB_RULES: tuple[Rule, ...] = (
    Drop(r".*_momentum", "state of the optimiser"),
    Drop(r"(pred|fc1000)_[wb]", CLASSIFIER),
    Drop(r"conv1_b", "bias that Detectron's networks leave out"),
    Drop(r"(?!conv1_|res_conv1_|.*res\d_\d+_branch).*", "detector around the backbone"),
    Rename(r"res_conv1_bn_(.*)", r"bn1.\1"),
    Rename(r"conv1_w", "conv1.weight"),
    *(Rename(rf"res{number + 1}_(\d+)_(.*)", rf"layer{number}.\1.\2") for number in (1, 2, 3, 4)),
    *(Rename(rf"(.*)\.branch2{part}_bn_(.*)", rf"\1.bn{number}.\2") for number, part in enumerate("abc", 1)),
    *(Rename(rf"(.*)\.branch2{part}_w", rf"\1.conv{number}.weight") for number, part in enumerate("abc", 1)),
    Rename(r"(.*)\.branch1_bn_(.*)", r"\1.downsample.1.\2"),
    Rename(r"(.*)\.branch1_w", r"\1.downsample.0.weight"),
)
DETECTRONS = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
MSRAS = {"gamma": "weight", "beta": "bias"}
"""A norm's tensors in Detectron, and in the files that Detectron2 publishes → their canonical names."""

UNCOUNTED = AllowedMissing(r".*num_batches_tracked", "frozen batch norms count no batches: 0")
FOLDED = AllowedMissing(r".*running_(mean|var)", "folded into scale and shift by the source: mean 0, variance 1")
PLACEMENT = (
    "where a stage strides and how images were normalised leave no trace in a detector's weights: {input} and a stride "
    "in the {stride} convolution are assumed, as in Detectron2's model zoo."
)


def _unfolded(scale: Tensor) -> Tensor:
    """Scale a norm that divides by sqrt(1 + eps), where the source divides by nothing."""
    return scale * math.sqrt(1 + EPS)


UNFOLD = Apply(r"(.*\.)?bn\d\.weight|.*\.downsample\.1\.weight", _unfolded, "a scale for variance 1")


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_is_detectron)
    if state_dict is None:
        return None
    return Claim(f"{'Caffe2' if _has(state_dict, BLOBS) else 'Detectron2'} names in {state_dict.where}", decisive=True)


def _is_detectron(state_dict: StateDict) -> bool:
    return _has(state_dict, NAMES) or _has(state_dict, BLOBS)


def _has(state_dict: StateDict, pattern: str) -> bool:
    return any(re.match(pattern, name) for name in state_dict.tensors)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = contents.first(_is_detectron)
    if state_dict is None:
        return None
    contract = _contract(contents, state_dict)
    caffes = _has(state_dict, r".*(conv3|branch2c)") and contract.channel_order == "BGR" and not _is_grouped(state_dict)
    unsaid = contract.source != "file" and any(re.fullmatch(REST[1].pattern, name) for name in state_dict.tensors)
    defaults = FamilyDefaults(
        contract, {"stride_in": "1x1"} if caffes else {}, warnings=(_warning(contract, caffes),) if unsaid else ()
    )
    if _has(state_dict, BLOBS):
        return plan_weights(contents, {"model": Weights(state_dict)}, which, defaults, _blob_key_mapping(state_dict))
    pyramid = _has(state_dict, re.escape(PYRAMID))
    rules = RULES if pyramid or not _has(state_dict, r"backbone\.res") else (*WITHOUT_PYRAMID, *RULES)
    weights = Weights(state_dict, PYRAMID if pyramid else "", REST)
    return plan_weights(
        contents, {"model": weights}, which, defaults, KeyMapping("resnet", rules, _uncounted(state_dict))
    )


def _uncounted(state_dict: StateDict) -> tuple[AllowedMissing, ...]:
    return () if _has(state_dict, r".*num_batches_tracked") else (UNCOUNTED,)


def _blob_key_mapping(state_dict: StateDict) -> KeyMapping:
    names = MSRAS if _has(state_dict, r".*_bn_gamma$") else DETECTRONS
    norms = tuple(Rename(rf"(.*bn\d|.*downsample\.1)\.{theirs}", rf"\1.{ours}") for theirs, ours in names.items())
    rules = (*BLOB_RULES, *norms)
    if _has(state_dict, r".*_bn_(rm|running_mean)$"):
        return KeyMapping("resnet", rules, _uncounted(state_dict))
    return KeyMapping("resnet", (*rules, UNFOLD), (*_uncounted(state_dict), FOLDED))


def _contract(contents: Contents, state_dict: StateDict) -> InputContract:
    """Return the contract in the file, else that of the project that trained its weights."""
    if (said := _said(state_dict)) is not None:
        return said
    if contents.raw.tree.get("__author__") == "torchvision":
        return TORCHVISION
    if _has(state_dict, r".*_bn_s$"):
        return MSRA
    return RESNEXT if _is_grouped(state_dict) else ZOO


def _said(state_dict: StateDict) -> InputContract | None:
    """Return the contract that detectors before 2021 hold as statistics; blue's mean is the smaller one."""
    pair = [
        state_dict.tensors[name].flatten().tolist()
        for name in ("pixel_mean", "pixel_std")
        if name in state_dict.tensors
    ]
    if len(pair) < 2 or any(len(values) != 3 for values in pair):
        return None
    (first, second, third), std = pair
    order: ChannelOrder = "BGR" if first < third else "RGB"
    return InputContract((first, second, third), (std[0], std[1], std[2]), "0-255", order, source="file")


def _is_grouped(state_dict: StateDict) -> bool:
    """Return whether a 3x3 convolution sees a part of its input's channels: a ResNeXt."""
    kernels = (tensor for name, tensor in state_dict.tensors.items() if re.search(r"(conv2\.weight|branch2b_w)$", name))
    return any(kernel.ndim == 4 and kernel.shape[0] != kernel.shape[1] for kernel in kernels)


def _warning(contract: InputContract, caffes: bool) -> str:
    given = f"{contract.channel_order} with mean {contract.mean} and deviation {contract.std}"
    return PLACEMENT.format(input=given, stride="first 1x1" if caffes else "3x3")


FAMILY = Family(
    name="detectron2",
    aliases=("detectron", "msra"),
    description="Detectron2 and Detectron: ResNets of MSRA and torchvision, and the backbones of detectors",
    layouts=(
        "pickle with model, __author__, matching_heuristics: stem.conv1, res2.0.conv1, res2.0.conv1.norm, stem.fc",
        "pickle of Caffe2's blobs, at the root or under blobs: conv1_w, res2_0_branch2a_w, res2_0_branch2a_bn_s",
        "a detector's training file: model with backbone.bottom_up.res2.*, or backbone.res2.* and roi_heads.res5.*",
    ),
    recognise=_recognise,
    plan=_plan,
)
