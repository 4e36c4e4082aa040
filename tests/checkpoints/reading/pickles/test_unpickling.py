from __future__ import annotations

import argparse
import io
import os
import pickle
import subprocess
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.checkpoints.reading.pickles.rebuilding import resolve
from transfer.checkpoints.reading.pickles.unpickling import unpickle
from transfer.errors import CheckpointError, UnreadableCheckpoint, UnsafeCheckpoint


class Calls:
    """Pickles into a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


class Unknown:
    """A class that the reader does not know."""

    def __init__(self) -> None:
        self.depth = 3


def save(value: Any, path: Path, zipped: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.system, ("touch {}",)),
        (os.mkdir, ("{}",)),
        (subprocess.call, (["touch", "{}"],)),
        (eval, ("open('{}', 'w')",)),
        (exec, ("open('{}', 'w')",)),
        (open, ("{}", "w")),
        (io.open, ("{}", "w")),
        (getattr, (os, "system")),
        (__import__, ("antigravity",)),
        (torch.hub.download_url_to_file, ("file:///etc/hostname", "{}")),
        (pickle.loads, (b"cos\nsystem\n(S'true'\ntR.",)),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_code_is_refused_by_name_and_does_not_run(function: Any, args: Any, zipped: bool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    args = tuple(a.format(mark) if isinstance(a, str) else [i.format(mark) for i in a] if isinstance(a, list) else a
                 for a in args if a is not os)  # fmt: skip
    poison = Calls(getattr, Unknown(), "depth") if function is getattr else Calls(function, *args)
    path = save({"model": {"weight": torch.ones(2)}, "poison": poison}, tmp_path / "poison.pth", zipped)
    with pytest.raises(UnsafeCheckpoint, match=function.__name__.strip("_")):
        read_checkpoint(path)
    assert not mark.exists()


def test_reading_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "bomb.py").write_text("raise SystemExit('imported')")
    data = b"\x80\x02}X\x01\x00\x00\x00acbomb\nFuse\n)R}X\x01\x00\x00\x00bK\x01sbs."
    (tmp_path / "file.pth").write_bytes(data)
    tree = read_checkpoint(tmp_path / "file.pth").tree
    assert dict(tree["a"]) == {"b": 1} and tree["a"].origin == "bomb.Fuse"


@pytest.mark.parametrize("zipped", [True, False])
def test_baggage_stays_readable(zipped: bool, tmp_path: Path) -> None:
    import numpy as np

    tree = {
        "args": argparse.Namespace(lr=0.1, names=["a"]),
        "unknown": Unknown(),
        "best": np.float64(0.5),
        "rng": np.arange(3),
        "ordered": OrderedDict(a=1),
        "default": defaultdict(list, b=[2]),
        "counter": Counter("aab"),
        "sets": ({1, 2}, frozenset({3})),
        "path": Path("somewhere"),
        "dtype": torch.float16,
        "shape": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "complex": 1 + 2j,
    }
    read = read_checkpoint(save(tree, tmp_path / "file.pth", zipped)).tree
    assert (read["args"]["lr"], read["args"]["names"], read["unknown"]["depth"]) == (0.1, ["a"], 3)
    assert read["ordered"] == {"a": 1} and read["default"] == {"b": [2]} and read["counter"] == {"a": 2, "b": 1}
    assert read["sets"] == ({1, 2}, frozenset({3})) and read["complex"] == 1 + 2j
    assert (read["dtype"], read["shape"], read["device"]) == (torch.float16, (2, 3), "cpu")


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_come_back_as_they_were_saved(zipped: bool, tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    kinds = [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int16, torch.int64, torch.bool]
    tensors = {
        "view": whole[1:3, ::2],
        "transposed": whole.T,
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 5),
        "parameter": torch.nn.Parameter(whole),
        "expanded": torch.ones(1, 3).expand(4, 3),
        **{str(kind): torch.arange(5).to(kind) for kind in kinds},
    }
    read = read_checkpoint(save(tensors, tmp_path / "file.pth", zipped)).tree
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name], tensor)


def load(data: bytes, numel: int = 4) -> Any:
    return unpickle(data, lambda *_: torch.zeros(numel))[0]


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (5,), (1,)), (-1, (2,), (1,)), (1, (2, 2), (2, 1)), (0, (2,), (9,)), (0, (2,), ())],
)
def test_views_cannot_leave_their_storage(offset: int, size: Any, stride: Any) -> None:
    function = resolve("torch._utils", "_rebuild_tensor_v2").function
    assert function(torch.zeros(4), 0, (2, 2), (2, 1), False, {}).shape == (2, 2)
    with pytest.raises(pickle.UnpicklingError):
        function(torch.zeros(4), offset, size, stride, False, {})


def test_a_pickle_cannot_alter_what_it_may_call() -> None:
    attack = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__K\x01s\x86b."
    with pytest.raises(pickle.UnpicklingError, match="alter"):
        load(attack)


def test_the_result_of_an_inert_class_cannot_be_called() -> None:
    with pytest.raises(pickle.UnpicklingError, match="no function"):
        load(b"\x80\x02cunknown\nthing\n)R)R.")


def test_tuples_nested_absurdly_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.pth"
    path.write_bytes(b"\x80\x02})" + b"\x85" * 500_000 + b"K\x01s.")
    with pytest.raises(UnreadableCheckpoint, match="nested items"):
        read_checkpoint(path)


def test_an_unknown_reference_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError):
        load(b"\x80\x02K\x01Q.")
    assert issubclass(UnsafeCheckpoint, CheckpointError)
