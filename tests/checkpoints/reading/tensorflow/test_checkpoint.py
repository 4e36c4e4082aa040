from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.checkpoints.genuine.variables import write_table
from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.checkpoints.reading.tensorflow.checkpoint import read_tensorflow
from transfer.checkpoints.reading.tensorflow.table import read_table
from transfer.errors import CheckpointError, UnreadableCheckpoint

VALUES = {
    "object_graph": "object_graph",
    "saved_model": "saved_model",
    "v1": "saver",
    "v2": "saver",
    "v1_shards": "shards",
    "v2_shards": "shards",
}
FILES = (
    "object_graph/model.ckpt-1.index",
    "object_graph/model.ckpt-1.data-00000-of-00001",
    "saved_model/variables/variables.index",
    "v1/model.ckpt-1",
    "v1_shards/model.ckpt-00001-of-00002",
    "v2/model.ckpt-1.index",
    "v2/model.ckpt-1.data-00000-of-00001",
    "v2_shards/model.ckpt.data-00001-of-00002",
)
mutations = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def expected(folder: Path, name: str) -> dict[str, Any]:
    with np.load(folder / f"{VALUES[name.partition('/')[0]]}.npz") as values:
        return dict(values)


def assert_equal(tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    assert set(tensors) == {name.removeprefix("bfloat16:") for name in values}
    for name, value in values.items():
        tensor = tensors[name.removeprefix("bfloat16:")]
        if name.startswith("bfloat16:"):
            assert tensor.dtype == torch.bfloat16
            tensor = tensor.view(torch.uint16)
        assert tensor.numpy().dtype == value.dtype and np.array_equal(tensor.numpy(), value), name


@pytest.fixture
def copies(genuine: Path, tmp_path: Path) -> Path:
    shutil.copytree(genuine, tmp_path / "copies")
    return tmp_path / "copies"


@pytest.mark.parametrize(
    "path",
    [
        *VALUES,
        "object_graph/model.ckpt-1",
        "object_graph/model.ckpt-1.index",
        "object_graph/model.ckpt-1.data-00000-of-00001",
        "saved_model/variables",
        "saved_model/variables/variables",
        "v1/model.ckpt-1",
        "v1/checkpoint",
        "v2/model.ckpt-1",
        "v1_shards/model.ckpt",
        "v1_shards/model.ckpt-00001-of-00002",
        "v1_shards/model.ckpt-?????-of-00002",
        "v2_shards/model.ckpt",
        "v2_shards/model.ckpt.data-00001-of-00002",
    ],
)
def test_every_path_to_a_genuine_checkpoint(path: str, copies: Path) -> None:
    (copies / "saved_model/saved_model.pb").touch()
    (copies / "v2/model.ckpt-1.meta").touch()
    assert_equal(read_tensorflow(copies / path), expected(copies, path))
    raw = read_checkpoint(copies / path)
    assert raw.container == "tensorflow"
    assert_equal(dict(raw.tree), expected(copies, path))


def test_files_that_belong_to_a_checkpoint(copies: Path) -> None:
    for file in ("saved_model/saved_model.pb", "v2/model.ckpt-1.meta"):
        (copies / file).touch()
        assert_equal(read_tensorflow(copies / file), expected(copies, file))


def test_the_newest_of_several(copies: Path) -> None:
    for file in (copies / "object_graph").glob("model.ckpt-1.*"):
        shutil.copy(file, file.with_name(file.name.replace("-1.", "-2.")))
    assert_equal(read_tensorflow(copies / "object_graph"), expected(copies, "object_graph"))
    state = copies / "object_graph/checkpoint"
    state.write_text('model_checkpoint_path: "/another/machine/model.ckpt-2"\n')
    (copies / "object_graph/model.ckpt-1.index").unlink()
    assert_equal(read_tensorflow(copies / "object_graph"), expected(copies, "object_graph"))


def test_several_checkpoints_of_which_none_is_named(copies: Path) -> None:
    (copies / "v2/checkpoint").unlink()
    for file in list((copies / "v2").iterdir()):
        shutil.copy(file, file.with_name(file.name.replace("-1.", "-2.")))
    with pytest.raises(UnreadableCheckpoint, match=r"model\.ckpt-1\.index, model\.ckpt-2\.index"):
        read_checkpoint(copies / "v2")


@pytest.mark.parametrize(
    ("missing", "path", "said"),
    [
        ("v2/model.ckpt-1.data-00000-of-00001", "v2/model.ckpt-1", r"without model\.ckpt-1\.data-00000-of-00001"),
        ("v2_shards/model.ckpt.data-00001-of-00002", "v2_shards", r"without model\.ckpt\.data-00001-of-00002"),
        ("v2/model.ckpt-1.index", "v2/model.ckpt-1", r"model\.ckpt-1\.index, .* is not next to"),
        ("v2/model.ckpt-1.index", "v2/model.ckpt-1.data-00000-of-00001", r"model\.ckpt-1\.index, .* is not next to"),
        ("v1_shards/model.ckpt-00001-of-00002", "v1_shards", r"without model\.ckpt-00001-of-00002"),
        ("saved_model/variables/variables.index", "saved_model", r"no variables/variables\.index"),
        ("v2/model.ckpt-1.data-00000-of-00001", "v2/model.ckpt-1.data-00000-of-00001", "there is no file"),
    ],
)
def test_missing_files_are_named(missing: str, path: str, said: str, copies: Path) -> None:
    (copies / "saved_model/saved_model.pb").touch()
    (copies / missing).unlink()
    with pytest.raises(UnreadableCheckpoint, match=said):
        read_checkpoint(copies / path)


def test_data_of_another_index(copies: Path) -> None:
    shutil.copy(copies / "v2/model.ckpt-1.index", copies / "object_graph/model.ckpt-1.index")
    with pytest.raises(UnreadableCheckpoint, match="truncated or belongs to another index"):
        read_checkpoint(copies / "object_graph")


def test_swapped_shards(copies: Path) -> None:
    one, two = (copies / f"v2_shards/model.ckpt.data-0000{i}-of-00002" for i in (0, 1))
    shutil.copy(two, one)
    with pytest.raises(UnreadableCheckpoint, match="kernel_0 does not have its checksum"):
        read_checkpoint(copies / "v2_shards")


def test_other_files_are_not_taken_for_tensorflows(tmp_path: Path) -> None:
    (tmp_path / "faiss.index").write_bytes(b"IxFI" + bytes(100))
    for path in (tmp_path, tmp_path / "faiss.index", tmp_path / "absent", tmp_path / "absent/model.ckpt"):
        with pytest.raises(UnreadableCheckpoint, match="no TensorFlow checkpoint"):
            read_tensorflow(path)


@pytest.mark.parametrize("name", FILES)
@mutations
@given(data=st.data())
def test_damaged_bytes_are_noticed_or_unused(name: str, data: st.DataObject, copies: Path, genuine: Path) -> None:
    content = bytearray((genuine / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content) - 1)))
    (copies / name).write_bytes(content[:cut])
    try:
        tensors = read_tensorflow(copies / name)
    except CheckpointError:
        return
    assert_equal(tensors, expected(genuine, name))


@pytest.mark.parametrize("name", [name for name in FILES if "data" not in name])
@mutations
@given(data=st.data())
def test_lies_under_a_valid_checksum(
    name: str,
    data: st.DataObject,
    copies: Path,
    genuine: Path,
) -> None:
    entries = {key: bytes(value) for key, value in read_table(memoryview((genuine / name).read_bytes()))}
    key = data.draw(st.sampled_from(sorted(entries)))
    value = bytearray(entries[key])
    if value:
        value[data.draw(st.integers(0, min(len(value), 60) - 1))] = data.draw(st.integers(0, 255))
    (copies / name).write_bytes(write_table({**entries, key: bytes(value)}))
    try:
        tensors = read_tensorflow(copies / name)
    except CheckpointError:
        return
    assert sum(tensor.nbytes for tensor in tensors.values()) < 20_000
