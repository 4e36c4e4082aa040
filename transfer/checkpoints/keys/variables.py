"""Variables as TensorFlow names them: those that training keeps next to a network, and those of a layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Drop, Permute, Rename, Rule

AVERAGE = "ExponentialMovingAverage"
"""The end that tf.train.ExponentialMovingAverage gives to the name of the variable that it averages."""

TRAINING = (
    Drop(r".*/(Momentum|Adam|Adam_1|RMSProp|RMSProp_1|Adagrad|LARSOptimizer)", "optimizer state"),
    Drop(r"global_step|save_counter|beta1_power|beta2_power", "counter of the training"),
)
"""Rules for what is saved next to every network that trains."""

COUNTERS = (AllowedMissing(r"(.*\.)?num_batches_tracked", "TensorFlow counts no batches: 0"),)
"""The part of batch normalisation that TensorFlow does not have."""

NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
CONVOLUTION = {"kernel": "weight", "bias": "bias"}
SLIM_CONVOLUTION = {"weights": "weight", "biases": "bias"}
"""A layer's name of a variable → the canonical one."""


def layer_variables(layer: str, names: Mapping[str, str]) -> tuple[Rule, ...]:
    """Return rules that rename the variables of layers whose last component begins with `layer`, which stays."""
    return tuple(Rename(rf"(.*){layer}([^/]*)/{old}", rf"\1{layer}\2.{new}") for old, new in names.items())


def kernels(pattern: str) -> Permute:
    """Return the rule that permutes convolution kernels (height, width, in, out) to (out, in, height, width)."""
    return Permute(pattern, (3, 2, 0, 1))


def averaged(names: Iterable[str]) -> tuple[str, ...]:
    """Return the last components of the variables that have a moving average: statistics often have none."""
    found = (re.fullmatch(rf".*?([^/]+)/{AVERAGE}", name) for name in names)
    return tuple(sorted({match[1] for match in found if match}))


def without_average() -> Drop:
    """Return the rule that leaves the variables as they were trained."""
    return Drop(rf".*/{AVERAGE}", "moving average: the trained variables were chosen")


def instead_of_average(having: Sequence[str]) -> Drop:
    """Return the rule that leaves the moving averages; `having` is what `averaged` found."""
    return Drop(rf".*/({'|'.join(map(re.escape, having))})", "trained variable: its moving average was chosen")


def named_as_averaged(having: Sequence[str]) -> tuple[Rule, ...]:
    """Return rules that give an average the name of its variable."""
    return tuple(Rename(rf"(.*)/{part}/{AVERAGE}", rf"\1/{part}") for part in having)


def numbered(layer: str, number: int) -> str:
    """Return a layer's default name: conv2d, conv2d_1, conv2d_2, ... in the order of creation."""
    return f"{layer}_{number}" if number else layer


def created(layer: str, places: Sequence[str]) -> tuple[Rule, ...]:
    """Return rules from default names, after `layer_variables`, to `places`, which are in the order of creation."""
    return tuple(Rename(rf"{numbered(layer, n)}\.(.*)", rf"{place}.\1") for n, place in enumerate(places))


def count_created(layer: str, names: Iterable[str]) -> int:
    """Return how many layers there must have been: one more than the highest number."""
    found = (re.match(rf"{layer}(?:_(\d+))?/", name) for name in names)
    return max((int(match[1] or 0) + 1 for match in found if match), default=0)
