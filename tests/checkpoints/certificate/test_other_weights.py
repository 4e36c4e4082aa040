from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.checkpoints.genuine.files import State, small_resnet, without
from tests.checkpoints.genuine.moco import moco_tree
from transfer.checkpoints.loading import inspect_checkpoint


def followed(state: State) -> State:
    """A momentum encoder: nearly the same values."""
    draw = torch.Generator().manual_seed(0)
    return {
        name: tensor + 0.01 * tensor.abs().mean() * torch.randn(tensor.shape, generator=draw)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in state.items()
    }


def written(query: State, key: State, folder: Path) -> Path:
    torch.save(moco_tree(query, key, 2), folder / "moco.pth.tar")
    return folder / "moco.pth.tar"


@pytest.fixture
def backbone() -> State:
    return without("fc.", small_resnet().state_dict())


def test_weights_that_follow_each_other_are_well(backbone: State, tmp_path: Path) -> None:
    assert not inspect_checkpoint(written(backbone, followed(backbone), tmp_path)).health


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("conv1.weight", lambda tensor: tensor.flip(1), "input channels are reversed"),
        ("layer2.0.conv2.weight", lambda tensor: tensor.transpose(0, 1).contiguous(), "first two dimensions"),
        ("layer3.0.conv1.weight", lambda tensor: tensor.transpose(2, 3).contiguous(), "height and width"),
        ("layer4.0.conv2.weight", torch.randn_like, "is unlike its counterpart in the key"),
    ],
)
def test_a_changed_tensor_is_named(name: str, change: Any, text: str, backbone: State, tmp_path: Path) -> None:
    query: dict[str, Tensor] = {**backbone, name: change(backbone[name])}
    health = inspect_checkpoint(written(query, followed(backbone), tmp_path)).health
    assert list(health) == [name] and text in health[name]


def test_weights_that_have_nothing_in_common_say_nothing(backbone: State, tmp_path: Path) -> None:
    other = {name: torch.randn_like(t) if t.is_floating_point() else t for name, t in backbone.items()}
    other = {name: t.abs() if name.endswith("running_var") else t for name, t in other.items()}
    assert not inspect_checkpoint(written(backbone, other, tmp_path)).health


def test_a_tensor_that_lies_transposed_in_the_file_is_named(backbone: State, tmp_path: Path) -> None:
    state = {**backbone, "layer2.0.conv2.weight": backbone["layer2.0.conv2.weight"].transpose(0, 1)}
    torch.save({**state, "fc.weight": torch.ones(2, 512)}, tmp_path / "file.pth")
    assert "layer2.0.conv2.weight" in inspect_checkpoint(tmp_path / "file.pth").health


def test_channels_last_files_are_well(backbone: State, tmp_path: Path) -> None:
    state = {n: t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for n, t in backbone.items()}
    torch.save({**state, "fc.weight": torch.ones(2, 512)}, tmp_path / "file.pth")
    assert not inspect_checkpoint(tmp_path / "file.pth").health
