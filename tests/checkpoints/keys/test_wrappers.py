"""Wrappers of trainers, compilers and modules are taken off: the same network comes out, or nothing does."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints.genuine.files import State, noisy, prefixed, randomised, small_resnet, small_swin, small_vit
from transfer.checkpoints.identification.filling import Choice, Filled, fill_from
from transfer.checkpoints.keys.contents import contents_of
from transfer.checkpoints.keys.wrappers import unwrapped
from transfer.checkpoints.reading.checkpoint import RawCheckpoint
from transfer.errors import CheckpointError, UnreadableCheckpoint, WeightMismatch

NETWORKS: dict[str, Callable[[], Any]] = {
    "torchvision resnet": small_resnet,
    "torchvision vit": lambda: torchvision.models.VisionTransformer(64, 16, 2, 2, 128, 256),
    "timm resnet-d": lambda: timm.create_model("resnet18d", num_classes=7, layers=(1, 1, 1, 1)),
    "timm vit": small_vit,
    "timm swin": small_swin,
    "timm convnext": lambda: timm.create_model("convnext_atto", depths=(1, 1, 1, 1), num_classes=7),
}


@cache
def state_of(network: str) -> State:
    return dict(randomised(NETWORKS[network]()).state_dict())


def filled(tree: Any, which: str | None = None) -> Filled:
    return fill_from(contents_of(RawCheckpoint(Path("wrapped.pth"), "torch zip", tree)), Choice(which=which))


@cache
def alone(network: str) -> Filled:
    return filled({"state_dict": state_of(network)})


def same_network(got: Filled, expected: Filled) -> bool:
    names = expected.matched.sources
    return got.spec == expected.spec and all(torch.equal(got.matched.load(n), expected.matched.load(n)) for n in names)


def deepspeed(state: Any) -> Any:
    return {"module": state, "buffer_names": [], "optimizer": None, "ds_version": "0.15", "global_steps": 3}


def lightning(state: Any) -> Any:
    return {"epoch": 1, "global_step": 9, "pytorch-lightning_version": "2.4", "state_dict": state, "callbacks": {}}


CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}},
    "model": lambda state: {"model": state, "iteration": 7},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": 0.5},
    "net": lambda state: {"net": state},
    "torch distributed": lambda state: {"app": {"model": state}},
    "deepspeed": deepspeed,
    "lightning": lightning,
}
PREFIXES = (
    "module.",
    "_orig_mod.",
    "_forward_module.",
    "_fsdp_wrapped_module.",
    "model.",
    "net.",
    "network.",
    "backbone.",
)


@settings(max_examples=25, deadline=None)
@given(
    network=st.sampled_from(list(NETWORKS)),
    prefixes=st.lists(st.sampled_from(PREFIXES), max_size=3),
    containers=st.lists(st.sampled_from(list(CONTAINERS)), min_size=1, max_size=2),
)
def test_any_nesting_holds_the_same_network(network: str, prefixes: list[str], containers: list[str]) -> None:
    tree: Any = state_of(network)
    for prefix in prefixes:
        tree = prefixed(prefix, tree)
    for container in containers:
        tree = CONTAINERS[container](tree)
    got = filled(tree)
    assert same_network(got, alone(network))
    assert all(prefix in " ".join(got.plan.warnings) for prefix in prefixes)


@settings(max_examples=15, deadline=None)
@given(
    network=st.sampled_from(list(NETWORKS)),
    prefix=st.sampled_from(PREFIXES),
    place=st.floats(0.1, 0.9),
)
def test_names_that_are_wrapped_by_half_are_refused(network: str, prefix: str, place: float) -> None:
    state = state_of(network)
    border = int(place * len(state))
    half = {(prefix if i < border else "") + name: tensor for i, (name, tensor) in enumerate(state.items())}
    with pytest.raises(CheckpointError):
        filled({"state_dict": half})


@pytest.mark.parametrize("wrapper", ["_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod."])
def test_blocks_that_are_wrapped_by_themselves(wrapper: str) -> None:
    state = state_of("torchvision resnet")
    wrapped = {name.replace("layer2.0.", f"layer2.0.{wrapper}"): tensor for name, tensor in state.items()}
    got = filled({"state_dict": prefixed("module.", wrapped)})
    assert same_network(got, alone("torchvision resnet"))
    assert wrapper in got.plan.warnings[-1]


def test_a_block_inside_and_outside_of_its_wrapper() -> None:
    state = state_of("torchvision resnet")
    half = {name.replace("layer2.0.conv", "layer2.0._orig_mod.conv"): tensor for name, tensor in state.items()}
    with pytest.raises(WeightMismatch, match=r"layer2\.0\._orig_mod\.conv1"):
        filled({"state_dict": half})


@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_lightning_module_with_other_modules(network: str) -> None:
    others = {"criterion.weight": torch.ones(7), "metric.total": torch.tensor(1.0), "projector.0.weight": torch.ones(2)}
    got = filled(lightning(prefixed("model.", state_of(network)) | others))
    assert same_network(got, alone(network))
    assert "criterion, metric, projector" in got.plan.warnings[-1]
    assert set(others) <= set(got.renamed.dropped)


def test_a_lightning_module_with_a_part_of_the_network_outside() -> None:
    state = {n if n.startswith("layer3") else f"model.{n}": t for n, t in state_of("torchvision resnet").items()}
    with pytest.raises(CheckpointError, match=r"layer[1-4]"):
        filled(lightning(state | {"criterion.weight": torch.ones(7)}))


AVERAGED: dict[str, Callable[[State], Any]] = {
    "torch": lambda state: {"model_ema": {"n_averaged": torch.tensor(5), **prefixed("module.", state)}},
    "timm": lambda state: {"state_dict_ema": prefixed("module.", state)},
    "named": lambda state: {"ema": {"decay": 0.99, "shadow": state}},
    "key": lambda state: {"ema_model": state},
    "mmengine": lambda state: {"ema": {"steps": torch.tensor(5), **prefixed("module.", state)}},
}


@pytest.mark.parametrize("way", list(AVERAGED))
@pytest.mark.parametrize("network", ["torchvision resnet", "timm vit"])
def test_moving_averages(way: str, network: str) -> None:
    average, raw = state_of(network), noisy(state_of(network))
    tree = {"model": raw, **AVERAGED[way](average)}
    assert filled(tree).plan.which == "model"
    assert same_network(filled(tree, "ema"), alone(network))
    assert same_network(filled(AVERAGED[way](average)), alone(network))


def test_an_average_beside_what_it_averages() -> None:
    state = state_of("timm vit")
    counters = {"initted": torch.tensor(True), "step": torch.tensor(9)}
    tree = prefixed("online_model.", state) | prefixed("ema_model.", noisy(state)) | counters
    got = filled({"model": tree})
    assert same_network(got, alone("timm vit")) and "ema_model" in got.plan.warnings[-1]


def test_an_average_without_names() -> None:
    state = state_of("timm vit")
    average = {"decay": 0.99, "num_updates": 5, "shadow_params": list(state.values()), "collected_params": None}
    contents = contents_of(RawCheckpoint(Path("f.pth"), "torch zip", {"model": state, "ema": average}))
    assert "ema.shadow_params" in contents.warnings[0]
    with pytest.raises(UnreadableCheckpoint, match=r"without names.*copy_to"):
        filled({"ema": average, "epoch": 3})


def test_an_average_of_parameters_alone_is_no_network() -> None:
    state = state_of("torchvision resnet")
    shadow = {name: tensor for name, tensor in state.items() if "running" not in name and "num_batches" not in name}
    assert filled({"model": state, "ema": {"shadow": shadow}}).plan.which == "model"


@pytest.mark.parametrize(
    "name", ["flat_param", "_fsdp_wrapped_module._flat_param", "layer1._fsdp_wrapped_module.flat_param_0"]
)
def test_flat_parameters_are_refused(name: str) -> None:
    with pytest.raises(UnreadableCheckpoint, match="cut into pieces"):
        filled({"model": {name: torch.ones(9)}})


def test_partitioned_parameters_are_refused() -> None:
    state = {n: t if "running" in n else torch.empty(0) for n, t in state_of("torchvision resnet").items()}
    with pytest.raises(UnreadableCheckpoint, match="zero_to_fp32"):
        filled(deepspeed(state))


def test_names_that_would_become_one_stay() -> None:
    state = {"layer1._orig_mod.weight": torch.ones(1), "layer1.weight": torch.ones(1)}
    assert unwrapped(state) == (state, "")
