"""TF-slim's ResNets v1 and v2 (github.com/tensorflow/models, research/slim), also those trained on JFT-300M.

Their blocks stride as they end, in the 3x3 convolution of their last unit (tensorflow/models#1418).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import CLASSIFIER
from transfer.checkpoints.keys.rules import Drop, Rename, Rule
from transfer.checkpoints.keys.variables import (
    COUNTERS,
    NORM,
    SLIM_CONVOLUTION,
    TRAINING,
    averaged,
    instead_of_average,
    kernels,
    layer_variables,
    named_as_averaged,
    without_average,
)
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import InputContract

UNIT = re.compile(r"((?:.*/)?)block\d/unit_(\d+)/bottleneck_v([12])/")
SCOPE = re.compile(r"(?:.*/)?resnet_v[12]_(\d+)/")
DEPTHS = {"50": [3, 4, 6, 3], "101": [3, 4, 23, 3], "152": [3, 8, 36, 3], "200": [3, 24, 36, 3]}
HEAD = (
    Drop(r"logits/.*", CLASSIFIER),
    Drop(r"mean_rgb(/.*)?", "mean of the training images: part of the input contract"),
)

VGG = InputContract((123.68, 116.78, 103.94), (1.0, 1.0, 1.0), range="0-255")
"""preprocessing/vgg_preprocessing.py: v1."""

INCEPTION = InputContract((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Values in [-1, 1]: v2, and JFT-300M (Sun et al., ICCV 2017)."""

JFT_CLASSES = 18_291
OPTIONS = {"stride_in": "last_unit", "pool_padding": "same", "eps": 1e-5}
UNSCOPED = (
    "the variables are under `{scope}` instead of resnet_v{version}_50, 101, 152 or 200: that the network is whole "
    "cannot be confirmed, and its input contract is that of TF-slim's ResNet v{version}"
)


def _recognise(contents: Contents) -> Claim | None:
    found = _found(contents)
    return Claim(f"{found[1]}block1/unit_1/bottleneck_v{found[2]} names", decisive=True) if found else None


def _found(contents: Contents) -> tuple[StateDict, str, str] | None:
    """Return the first state dict with units, and the scope and version that most of its names have."""
    for state_dict in contents.state_dicts.values():
        units = [(match[1], match[3]) for name in state_dict.tensors if (match := UNIT.match(name))]
        if units:
            return state_dict, *Counter(units).most_common(1)[0][0]
    return None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = _found(contents)
    if found is None:
        return None
    state_dict, scope, version = found
    depth = SCOPE.fullmatch(scope)
    depths: dict[str, Any] = {"depths": DEPTHS[depth[1]]} if depth and depth[1] in DEPTHS else {}
    defaults = FamilyDefaults(
        _contract(state_dict, scope, version),
        options={**OPTIONS, **depths},
        warnings=() if depths else (UNSCOPED.format(scope=scope or "/", version=version),),
    )
    having = averaged(state_dict.tensors)
    return plan_weights(
        contents,
        _networks(state_dict, scope, having),
        which,
        defaults,
        _key_mapping(state_dict.tensors, version, having),
    )


def _networks(state_dict: StateDict, scope: str, having: Sequence[str]) -> dict[str, Weights]:
    if not having:
        return {"model": Weights(state_dict, scope, TRAINING)}
    return {
        "ema": Weights(state_dict, scope, (*TRAINING, instead_of_average(having))),
        "model": Weights(state_dict, scope, (*TRAINING, without_average())),
    }


def _key_mapping(names: Iterable[str], version: str, having: Sequence[str]) -> KeyMapping:
    units = max(int(match[2]) for name in names if (match := UNIT.match(name)))
    norms = ("BatchNorm", "preact", "postnorm")
    rules: tuple[Rule, ...] = (
        *HEAD,
        *named_as_averaged(having),
        kernels(r".*/weights"),
        *(rule for layer in ("conv", "shortcut") for rule in layer_variables(layer, SLIM_CONVOLUTION)),
        *(rule for layer in norms for rule in layer_variables(layer, NORM)),
        *(_v1_rules(units) if version == "1" else _v2_rules(units)),
    )
    return KeyMapping("resnet" if version == "1" else "resnetv2", rules, COUNTERS)


def _v1_rules(units: int) -> tuple[Rule, ...]:
    return (
        Rename(r"conv1/BatchNorm\.(.*)", r"bn1.\1"),
        *(Rename(rf"block(\d)/unit_{u}/bottleneck_v1/(.*)", rf"layer\1.{u - 1}.\2") for u in range(1, units + 1)),
        Rename(r"(layer.*)\.conv(\d)/BatchNorm\.(.*)", r"\1.bn\2.\3"),
        Rename(r"(layer.*)\.shortcut/BatchNorm\.(.*)", r"\1.downsample.1.\2"),
        Rename(r"(layer.*)\.shortcut\.(.*)", r"\1.downsample.0.\2"),
    )


def _v2_rules(units: int) -> tuple[Rule, ...]:
    places = [(b, u) for b in (1, 2, 3, 4) for u in range(1, units + 1)]
    return (
        Rename(r"conv1\.(.*)", r"stem.conv.\1"),
        Rename(r"postnorm\.(.*)", r"norm.\1"),
        *(Rename(rf"block{b}/unit_{u}/bottleneck_v2/(.*)", rf"stages.{b - 1}.blocks.{u - 1}.\1") for b, u in places),
        Rename(r"(stages.*)\.preact\.(.*)", r"\1.norm1.\2"),
        Rename(r"(stages.*)\.conv1/BatchNorm\.(.*)", r"\1.norm2.\2"),
        Rename(r"(stages.*)\.conv2/BatchNorm\.(.*)", r"\1.norm3.\2"),
        Rename(r"(stages.*)\.shortcut\.(.*)", r"\1.downsample.conv.\2"),
    )


def _contract(state_dict: StateDict, scope: str, version: str) -> InputContract:
    """Return the contract: v1 subtracts means unless the classifier counts the labels of JFT-300M."""
    classes = {tensor.shape[-1] for name, tensor in state_dict.tensors.items() if name.startswith(f"{scope}logits/")}
    return INCEPTION if version == "2" or JFT_CLASSES in classes else VGG


FAMILY = Family(
    name="slim",
    aliases=("tf-slim", "tfslim", "jft"),
    description="TF-slim's ResNets v1 and v2 of 50, 101, 152 and 200 layers, as trained on ImageNet or JFT-300M",
    layouts=(
        "TensorFlow checkpoint: resnet_v1_101/block1/unit_1/bottleneck_v1/conv1/weights, with or without "
        "ExponentialMovingAverage; resnet_v2_50/.../bottleneck_v2/preact/gamma",
    ),
    recognise=_recognise,
    plan=_plan,
)
