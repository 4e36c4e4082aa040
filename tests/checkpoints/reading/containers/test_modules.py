"""Whole networks and TorchScript programs: the weights are read, the code is not."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.errors import UnsafeCheckpoint


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.scale = nn.Parameter(torch.rand(1))
        self.register_buffer("kept", torch.rand(2))
        self.register_buffer("passing", torch.rand(2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) * self.scale + self.kept.sum()
        return y


def same(tree: Mapping[str, Any], state: Mapping[str, Tensor]) -> bool:
    return list(tree) == list(state) and all(torch.equal(tree[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda network: network, lambda network: nn.DataParallel(network)])
def test_a_whole_network(zipped: bool, wrap: Any, tmp_path: Path) -> None:
    network = wrap(Block())
    torch.save(network, tmp_path / "root.pth", _use_new_zipfile_serialization=zipped)
    torch.save({"model": network, "epoch": 3}, tmp_path / "tree.pth", _use_new_zipfile_serialization=zipped)
    assert same(read_checkpoint(tmp_path / "root.pth").tree, network.state_dict())
    tree = read_checkpoint(tmp_path / "tree.pth").tree
    assert same(tree["model"], network.state_dict()) and tree["epoch"] == 3


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("traced", [True, False])
def test_torchscript(traced: bool, tmp_path: Path) -> None:
    network = Block().eval()
    program = torch.jit.trace(network, torch.ones(1, 3, 8, 8)) if traced else torch.jit.script(network)
    program.half().save(tmp_path / "RN50.pt")
    raw = read_checkpoint(tmp_path / "RN50.pt")
    assert raw.container == "torchscript"
    expected = network.half().state_dict()
    assert set(raw.tree) - set(expected) <= {"passing"}
    assert all(torch.equal(raw.tree[name], tensor) for name, tensor in expected.items())


def test_torchscript_without_weights(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:  # as torch.jit.save lays it out
        for record in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"script/{record}", b"\x80\x02}.")
    with pytest.raises(UnsafeCheckpoint, match="TorchScript"):
        read_checkpoint(path)


def test_shared_modules_without_end(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(1, 1))
    for _ in range(60):
        network = nn.Sequential(network, network)
    torch.save(network, tmp_path / "bomb.pth")
    with pytest.raises(Exception, match="more than 200,000 tensors"):
        read_checkpoint(tmp_path / "bomb.pth")
