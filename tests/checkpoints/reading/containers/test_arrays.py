"""NumPy's files and pickles, with the arrays that frameworks write."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.errors import UnreadableCheckpoint, UnsafeCheckpoint

ARRAYS: dict[str, Any] = {
    "conv/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(3).astype(">i4"),
    "half": np.float16([1, 2]),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
    "step": np.array(7),
}


def check(tree: Any) -> None:
    for name, array in ARRAYS.items():
        expected = torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))
        assert tree[name].dtype == expected.dtype and torch.equal(tree[name], expected.reshape(array.shape)), name


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save: Any, tmp_path: Path) -> None:
    save(tmp_path / "weights.npz", **ARRAYS)
    raw = read_checkpoint(tmp_path / "weights.npz")
    assert raw.container == "numpy npz"
    check(raw.tree)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_arrays(protocol: int, tmp_path: Path) -> None:
    """Detectron2's model zoo."""
    content = {"model": ARRAYS, "__author__": "torchvision", "matching_heuristics": True, "lr": np.float64(0.5)}
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(content, protocol))
    raw = read_checkpoint(tmp_path / "R-50.pkl")
    check(raw.tree["model"])
    assert raw.container == "pickle"
    assert (raw.tree["__author__"], raw.tree["matching_heuristics"], raw.tree["lr"]) == ("torchvision", True, 0.5)


def python_2(array: np.ndarray[Any, Any], name: bytes) -> bytes:
    """Pickle as cPickle of Python 2 does with protocol 2: names and numbers are strings of bytes."""
    raw = array.tobytes()
    return (
        b"U" + bytes([len(name)]) + name + b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85"
        b"U\x01b\x87Rq\x04(K\x01K" + bytes([array.size]) + b"\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    )


def test_python_2(tmp_path: Path) -> None:
    """Caffe2's files of 2018."""
    weights = np.random.default_rng(0).normal(size=100).astype(np.float32)
    data = b"\x80\x02}q\x01(U\x05blobs}q\x07(" + python_2(weights, b"conv1_w") + b"uu."
    (tmp_path / "R-50.pkl").write_bytes(data)
    assert torch.equal(read_checkpoint(tmp_path / "R-50.pkl").tree["blobs"]["conv1_w"], torch.from_numpy(weights))


def test_bfloat16_is_two_bytes_without_a_type(tmp_path: Path) -> None:
    weights = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    np.savez(tmp_path / "weights.npz", w=weights.view(torch.int16).numpy().view("V2"))
    assert torch.equal(read_checkpoint(tmp_path / "weights.npz").tree["w"], weights)


def test_a_pickled_dictionary_in_an_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", {"conv1": ARRAYS["conv/kernel"]})  # type: ignore[arg-type]
    assert read_checkpoint(tmp_path / "weights.npy").tree["conv1"].shape == (2, 3, 4)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(UnreadableCheckpoint, match="not a dictionary"):
        read_checkpoint(tmp_path / "one.npy")


class Poison:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_arrays_of_objects_run_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "weights.npz", good=np.ones(2), bad=np.array([Poison()], dtype=object))
    with pytest.raises(UnsafeCheckpoint, match=r"builtins\.print"):
        read_checkpoint(tmp_path / "weights.npz")
    np.savez(tmp_path / "names.npz", names=np.array([{"a": 1}], dtype=object), texts=np.array(["a"]))
    tree = read_checkpoint(tmp_path / "names.npz").tree
    assert tree["names"] == [{"a": 1}] and tree["texts"]["shape"] == (1,)
    assert capsys.readouterr().out == ""


def npy(header: str, data: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize(
    "shape", ["99999999999999999,", "-3,", "3, 4, 5", "1e3,", "0x10,", ",".join(["1"] * 70), "9" * 1400]
)
def test_shapes_that_the_data_do_not_fill(shape: str, tmp_path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n"
    (tmp_path / "weights.npy").write_bytes(npy(header, bytes(12)))
    with pytest.raises(UnreadableCheckpoint, match=r"weights\.npy is damaged"):
        read_checkpoint(tmp_path / "weights.npy")


class FlatMapping(dict[str, Any]):
    """Pickles as haiku's: the class called with a mapping."""

    def __reduce__(self) -> Any:
        return FlatMapping, (dict(self),)


def test_named_tuples_and_mappings_by_value(tmp_path: Path) -> None:
    """BYOL: dill's protocol 2, where a named tuple's class is made while unpickling, arrays by dill's own function."""
    parameters = pickle.dumps(FlatMapping({"conv": FlatMapping({"w": np.ones(3, np.float32)})}), 2)[2:-1]
    data = (
        b"\x80\x02}q\xf0X\x10\x00\x00\x00experiment_statecdill._dill\n_create_namedtuple\nX\x0a\x00\x00\x00_ByolStateX"
        b"\x0d\x00\x00\x00online_paramsX\x0c\x00\x00\x00online_state\x86X\x08\x00\x00\x00__main__\x87R"
        + parameters
        + b"N\x86\x81s."
    )
    (tmp_path / "byol.pkl").write_bytes(data)
    state = read_checkpoint(tmp_path / "byol.pkl").tree["experiment_state"]
    assert list(state) == ["online_params", "online_state"] and state.origin == "__main__._ByolState"
    assert torch.equal(state["online_params"]["conv"]["w"], torch.ones(3))


def test_arrays_of_dill(tmp_path: Path) -> None:
    state = pickle.dumps(np.arange(3.0).__reduce__()[2], 2)[2:-1]
    array = b"cdill._dill\n_create_array\n(cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87"
    (tmp_path / "w.pkl").write_bytes(b"\x80\x02}X\x01\x00\x00\x00w" + array + state + b"NtRs.")
    assert torch.equal(read_checkpoint(tmp_path / "w.pkl").tree["w"], torch.arange(3.0, dtype=torch.float64))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_tensors_in_a_plain_pickle(protocol: int, tmp_path: Path) -> None:
    content = {"weight": torch.arange(4.0), "scale": torch.nn.Parameter(torch.ones(2))}
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps(content, protocol))
    tree = read_checkpoint(tmp_path / "weights.pkl").tree
    assert all(torch.equal(tree[name], tensor) for name, tensor in content.items())
