"""Files that hold several weights of one network, or a network that has no canonical form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.checkpoints.identification.filling import Choice, Filled, fill_from
from transfer.checkpoints.keys.contents import contents_of
from transfer.checkpoints.reading.checkpoint import RawCheckpoint
from transfer.errors import UnsupportedNetwork, WeightMismatch


def filled(tree: Any, **choice: Any) -> Filled:
    return fill_from(contents_of(RawCheckpoint(Path("file.pth"), "torch zip", tree)), Choice(**choice))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("pixpro: training", "momentum"),
        ("densecl: training", "key"),
        ("densecl: byol", "target"),
        ("vissl: moco", "key"),
        ("vissl: dino", "teacher"),
        ("vissl: ibot", "teacher"),
        ("solo_learn: resnet", "momentum"),
        ("lightly: moco", "momentum"),
        ("lightly: dino", "student"),
        ("lightly: benchmark", "key"),
    ],
)
def test_each_network_is_among_the_others_other_weights(name: str, other: str, layouts: Any) -> None:
    tree = layouts[name]().tree
    default, chosen = filled(tree), filled(tree, which=other)
    assert chosen.plan.which == other and other in default.plan.other_weights
    assert default.plan.which in chosen.plan.other_weights
    assert chosen.matched.sources.keys() == default.matched.sources.keys()
    one, two = next(iter(default.matched.sources)), next(iter(chosen.matched.sources))
    assert not torch.equal(default.matched.load(one), chosen.matched.load(two))


def test_a_backbone_stored_again_must_be_the_same(layouts: Any) -> None:
    tree = layouts["densecl: training"]().tree
    state = tree["state_dict"]
    swapped = {
        name: state[name.replace("backbone.", "encoder_k.0.")] if name.startswith("backbone.") else tensor
        for name, tensor in state.items()
    }
    with pytest.raises(WeightMismatch, match=r"(?s)stored twice.*backbone\..*encoder_q\.0\."):
        filled({**tree, "state_dict": swapped})


def test_a_block_under_one_name_only(layouts: Any) -> None:
    tree = layouts["densecl: byol"]().tree
    state = {n: t for n, t in tree["state_dict"].items() if not n.startswith("backbone.layer3.")}
    with pytest.raises(WeightMismatch, match=r"online_net\.0\.layer3"):
        filled({**tree, "state_dict": state})


def test_the_momentum_network_is_offered(layouts: Any) -> None:
    warnings = filled(layouts["vissl: dino"]().tree).plan.warnings
    assert any("--which teacher" in warning for warning in warnings)


def test_selective_kernels_are_refused_by_name(layouts: Any) -> None:
    tree = layouts["simclr: separius"]().tree
    name = "net.1.blocks.0.net.2.mixing_conv.0.weight"
    with pytest.raises(UnsupportedNetwork, match=r"selective kernels.*\n.*mixing_conv"):
        filled({**tree, "resnet": {**tree["resnet"], name: torch.ones(32, 64, 1, 1)}})


def test_regnets_are_refused_by_name() -> None:
    names = ("conv1.0.weight", "res2.block1-0.f.a.0.weight", "res3.block2-0.proj.0.weight")
    backbone = {f"_feature_blocks.{name}": torch.ones(4, 4, 1, 1) for name in names}
    tree = {"classy_state_dict": {"base_model": {"model": {"trunk": backbone}}}}
    with pytest.raises(UnsupportedNetwork, match=r"RegNet.*\n.*_feature_blocks\.conv1\.0"):
        filled(tree)


def test_a_norm_before_the_stem_is_refused_by_name(layouts: Any) -> None:
    tree = layouts["lightly: small images"]().tree
    state = {f"model.{name}": tensor for name, tensor in tree["state_dict"].items()}
    norm = {"model.backbone.0.running_mean": torch.zeros(3), "model.backbone.0.weight": torch.ones(3)}
    with pytest.raises(UnsupportedNetwork, match=r"backbone\.0\.running_mean"):
        filled({**tree, "state_dict": {**state, **norm}})


def test_dilated_training_is_said(layouts: Any) -> None:
    tree = layouts["pixpro: training"]().tree
    plan = filled({**tree, "opt": {"arch": "resnet50_16s"}}).plan
    assert any("dilated" in warning for warning in plan.warnings)


@pytest.mark.parametrize(("classes", "mean"), [(10, 0.4914), (100, 0.5071), (7, 0.4914)])
def test_the_classifier_tells_the_small_images(classes: int, mean: float, layouts: Any) -> None:
    tree = layouts["solo_learn: cifar"]().tree
    tree["state_dict"]["classifier.weight"] = torch.ones(classes, 4)
    plan = filled(tree).plan
    assert plan.input.mean[0] == mean
    assert bool(plan.warnings) == (classes == 7)


def test_ten_classes_of_large_images_may_be_stl10(layouts: Any) -> None:
    tree = layouts["solo_learn: resnet"]().tree
    assert not filled(tree).plan.warnings
    tree["state_dict"]["classifier.weight"] = torch.ones(10, 4)
    plan = filled(tree).plan
    assert plan.input.mean[0] == 0.485 and "STL-10" in plan.warnings[0]


@pytest.mark.parametrize("name", ["separius", "separius, wide", "sthalles", "sthalles before 2021", "tonylins"])
def test_simclr_takes_pixels(name: str, layouts: Any) -> None:
    genuine = layouts[f"simclr: {name}"]()
    contract = filled(genuine.tree, **(genuine.options or {})).plan.input
    assert (contract.mean, contract.std, contract.range) == ((0.0,) * 3, (1.0,) * 3, "0-1")
