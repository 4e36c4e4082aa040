"""Names of TensorFlow's variables: layers, numbers, averages."""

from __future__ import annotations

import torch

from transfer.checkpoints.keys.matching import match
from transfer.checkpoints.keys.rules import Rule, apply_rules
from transfer.checkpoints.keys.variables import (
    CONVOLUTION,
    COUNTERS,
    NORM,
    SLIM_CONVOLUTION,
    TRAINING,
    averaged,
    count_created,
    created,
    instead_of_average,
    kernels,
    layer_variables,
    named_as_averaged,
    numbered,
    without_average,
)

ONE = torch.ones(1)
AVERAGE = "ExponentialMovingAverage"


def renamed(rules: tuple[Rule, ...], *names: str) -> list[str]:
    return list(apply_rules(dict.fromkeys(names, ONE), rules).sources)


def test_variables_of_layers_have_the_names_of_canonical_networks() -> None:
    norm = [f"net/bn_2/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")]
    expected = [f"net/bn_2.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    assert renamed(layer_variables("bn", NORM), *norm, "net/conv/gamma") == [*expected, "net/conv/gamma"]
    assert renamed(layer_variables("conv", CONVOLUTION), "a/conv/kernel", "conv_1/bias") == [
        "a/conv.weight",
        "conv_1.bias",
    ]
    assert renamed(layer_variables("", SLIM_CONVOLUTION), "a/b/weights", "a/b/biases") == ["a/b.weight", "a/b.bias"]


def test_kernels_become_output_first() -> None:
    kernel = torch.arange(120.0).reshape(2, 3, 4, 5)
    found = apply_rules({"conv.weight": kernel, "fc.weight": kernel}, (kernels(r"conv\..*"),))
    assert found.shapes == {"conv.weight": (5, 4, 2, 3), "fc.weight": (2, 3, 4, 5)}
    assert found.sources["conv.weight"].value.load()[4, 3, 1, 2] == kernel[1, 2, 3, 4]


def test_what_training_keeps_beside_a_network_is_left_out() -> None:
    beside = ["a/w/Momentum", "a/w/Adam_1", "a/w/LARSOptimizer", "global_step", "beta2_power", "save_counter"]
    assert renamed(TRAINING, *beside, "a/w", "a/Momentum/w", "a/global_step") == [
        "a/w",
        "a/Momentum/w",
        "a/global_step",
    ]


def test_either_the_variables_or_their_averages() -> None:
    names = [
        "a/kernel",
        f"a/kernel/{AVERAGE}",
        "b/bias",
        f"b/bias/{AVERAGE}",
        f"c/kernel/{AVERAGE}",
        "c/kernel",
        "c/mean",
    ]
    having = averaged(names)
    assert having == ("bias", "kernel")
    assert renamed((without_average(),), *names) == ["a/kernel", "b/bias", "c/kernel", "c/mean"]
    rules = (instead_of_average(having), *named_as_averaged(having))
    found = apply_rules({name: ONE for name in names}, rules)
    assert {name: source.name for name, source in found.sources.items()} == {
        **{name: f"{name}/{AVERAGE}" for name in ("a/kernel", "b/bias", "c/kernel")},
        "c/mean": "c/mean",
    }
    assert found.dropped == dict.fromkeys(
        ["a/kernel", "b/bias", "c/kernel"], "trained variable: its moving average was chosen"
    )
    assert averaged(["a/kernel"]) == ()


def test_layers_are_numbered_in_the_order_of_creation() -> None:
    assert [numbered("conv2d", number) for number in range(3)] == ["conv2d", "conv2d_1", "conv2d_2"]
    rules = created("conv2d", ["stem", "layer1.0.conv1"])
    assert renamed(rules, "conv2d_1.weight", "conv2d.weight", "conv2d_2.weight") == [
        "layer1.0.conv1.weight", "stem.weight", "conv2d_2.weight",
    ]  # fmt: skip


def test_layers_are_counted_by_the_highest_number() -> None:
    assert count_created("conv2d", ["conv2d/kernel", "conv2d_7/kernel", "conv2d_3/bias", "dense_9/kernel"]) == 8
    assert count_created("conv2d", ["conv2d/kernel"]) == 1
    assert count_created("conv2d", ["dense/kernel", "a/conv2d_3/kernel"]) == 0


def test_tensorflow_counts_no_batches() -> None:
    target = {name: torch.empty((), device="meta") for name in ("num_batches_tracked", "bn1.num_batches_tracked")}
    found = match(target, apply_rules({}, ()), COUNTERS, title="t", family="f")
    assert list(found.initialised) == list(target) and all("no batches" in why for why in found.initialised.values())
