"""Variables as TensorFlow names them: what training keeps beside a network, and how a layer stores its weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Drop, Permute, Rename, Rule

AVERAGE = "ExponentialMovingAverage"
"""What tf.train.ExponentialMovingAverage appends to the name of the variable that it averages."""

TRAINING = (
    Drop(r".*/(Momentum|Adam|Adam_1|RMSProp|RMSProp_1|Adagrad|LARSOptimizer)", "optimizer state"),
    Drop(r"global_step|save_counter|beta1_power|beta2_power", "counter of the training"),
)
"""Beside every network that was saved while it trained."""

COUNTERS = (AllowedMissing(r"(.*\.)?num_batches_tracked", "TensorFlow counts no batches: 0"),)
"""What its batch normalisation has not."""

NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
CONVOLUTION = {"kernel": "weight", "bias": "bias"}
SLIM_CONVOLUTION = {"weights": "weight", "biases": "bias"}
"""What a kind of layer calls its variables → what a canonical network calls them."""


def parts(layer: str, names: Mapping[str, str]) -> tuple[Rule, ...]:
    """Rules for the variables of the layers whose last component begins with `layer`: the name of the layer stays."""
    return tuple(Rename(rf"(.*){layer}([^/]*)/{old}", rf"\1{layer}\2.{new}") for old, new in names.items())


def kernels(pattern: str) -> Permute:
    """Convolution kernels (height, width, in, out) → (out, in, height, width)."""
    return Permute(pattern, (3, 2, 0, 1))


def averaged(names: Iterable[str]) -> tuple[str, ...]:
    """Last components of the variables that have a moving average: weights and the like; statistics often have none."""
    found = (re.fullmatch(rf".*?([^/]+)/{AVERAGE}", name) for name in names)
    return tuple(sorted({match[1] for match in found if match}))


def without_average() -> Drop:
    """For the variables as they were trained."""
    return Drop(rf".*/{AVERAGE}", "moving average: the trained variables were chosen")


def instead_of_average(having: Sequence[str]) -> Drop:
    """For the moving average; `having` is what `averaged` found."""
    return Drop(rf".*/({'|'.join(map(re.escape, having))})", "trained variable: its moving average was chosen")


def named_as_averaged(having: Sequence[str]) -> tuple[Rule, ...]:
    """Rules that give an average the name of its variable."""
    return tuple(Rename(rf"(.*)/{part}/{AVERAGE}", rf"\1/{part}") for part in having)


def numbered(layer: str, number: int) -> str:
    """The name that a layer gets by default: conv2d, conv2d_1, conv2d_2, ... in the order of creation."""
    return f"{layer}_{number}" if number else layer


def created(layer: str, places: Sequence[str]) -> tuple[Rule, ...]:
    """Rules from default names, of which `parts` are renamed, to `places`, which are in the order of creation."""
    return tuple(Rename(rf"{numbered(layer, n)}\.(.*)", rf"{place}.\1") for n, place in enumerate(places))


def count_created(layer: str, names: Iterable[str]) -> int:
    """How many layers there must have been: one more than the highest number."""
    found = (re.match(rf"{layer}(?:_(\d+))?/", name) for name in names)
    return max((int(match[1] or 0) + 1 for match in found if match), default=0)
