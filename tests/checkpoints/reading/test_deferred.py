from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.checkpoints.reading.deferred import Deferred, Unaligned
from transfer.errors import UnreadableCheckpoint


def counted() -> tuple[Deferred, list[int]]:
    loads: list[int] = []

    def load() -> torch.Tensor:
        loads.append(1)
        return torch.arange(6.0).reshape(2, 3)

    return Deferred((2, 3), None, torch.float32, load), loads


def test_shape_and_type_cost_nothing() -> None:
    tensor, loads = counted()
    assert (tensor.shape, tensor.dtype, tensor.numel(), tensor.is_floating_point()) == ((2, 3), torch.float32, 6, True)
    assert not loads


def test_operations_work_on_the_numbers() -> None:
    tensor, loads = counted()
    expected = torch.arange(6.0).reshape(2, 3)
    assert type(tensor.detach()) is torch.Tensor and torch.equal(tensor, expected)
    assert torch.equal(torch.cat([tensor, tensor]), torch.cat([expected, expected]))
    assert torch.equal(torch.empty(2, 3).copy_(tensor), expected) and torch.equal(tensor[1, 1:], expected[1, 1:])
    assert tensor.tolist() == expected.tolist() and (tensor.numpy() == expected.numpy()).all()
    assert torch.equal(tensor.to(torch.float16), expected.half()) and bool(tensor.isfinite().all()) and loads


@pytest.mark.parametrize("start", range(4))
def test_numbers_at_any_address(start: int) -> None:
    data = memoryview(bytearray(64))
    whole = torch.arange(12.0)
    data[start : start + 48] = whole.numpy().tobytes()
    numbers = Unaligned(data[start : start + 48], torch.float32)
    assert torch.equal(numbers.as_strided((2, 3), (6, 2), 1), whole.as_strided((2, 3), (6, 2), 1))
    assert torch.equal(numbers[2:8].as_strided((6,), (1,), 0), whole[2:8])
    assert torch.equal(numbers.view(torch.int32).as_strided((12,), (1,)), whole.view(torch.int32))
    assert numbers.as_strided((0, 3), (3, 1)).tolist() == []


def test_old_files_stay_mapped_wherever_their_numbers_stand(tmp_path: Path) -> None:
    deferred = set()
    for pad in range(4):
        state = {"x" * pad + "weight": torch.arange(6.0).reshape(2, 3).T, "steps": torch.tensor(3)}
        torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        tree = read_checkpoint(tmp_path / "old.pth").tree
        assert all(torch.equal(tree[name], tensor) for name, tensor in state.items())
        deferred.add(any(isinstance(tensor, Deferred) for tensor in tree.values()))
    assert True in deferred


def test_compressed_numbers_are_unpacked_when_used_and_damage_is_said(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).integers(0, 9, 10_000)
    np.savez_compressed(tmp_path / "w.npz", w=weights)
    tensor = read_checkpoint(tmp_path / "w.npz").tree["w"]
    assert isinstance(tensor, Deferred) and torch.equal(tensor, torch.from_numpy(weights))
    data = bytearray((tmp_path / "w.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "w.npz").write_bytes(data)
    with pytest.raises(UnreadableCheckpoint, match=r"w\.npy does not unpack"):
        read_checkpoint(tmp_path / "w.npz").tree["w"].sum()
