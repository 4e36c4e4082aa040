from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from transfer.checkpoints.keys.contents import contents_of
from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.errors import CheckpointError, UnreadableCheckpoint

TREE = {"state_dict": {f"layer{i}.weight": torch.full((3, 4), float(i)) for i in range(4)}, "epoch": 3}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("files")
    torch.save(TREE, folder / "zip")
    torch.save(TREE, folder / "legacy", _use_new_zipfile_serialization=False)
    save_file(TREE["state_dict"], folder / "safetensors")  # type: ignore[arg-type]
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("name", "container"), [("zip", "torch zip"), ("legacy", "torch legacy")])
def test_containers_are_told_by_content(name: str, container: str, files: Any, tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(files[name])
    raw = read_checkpoint(path)
    assert raw.container == container and raw.tree["epoch"] == 3
    assert all(torch.equal(raw.tree["state_dict"][key], value) for key, value in TREE["state_dict"].items())  # type: ignore[attr-defined]


def test_safetensors_may_have_any_name(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(files["safetensors"])
    assert read_checkpoint(str(path)).container == "safetensors"


@pytest.mark.parametrize("name", ["zip", "legacy", "safetensors"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_noticed(name: str, share: float, files: Any, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    path.write_bytes(files[name][: int(share * len(files[name]))])
    with pytest.raises(UnreadableCheckpoint, match=r"cut\.pth"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["zip", "legacy", "safetensors"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_escape_as_other_errors(name: str, data: st.DataObject, files: Any, tmp_path: Path) -> None:
    damaged = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(damaged), 1200) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pth"
    path.write_bytes(damaged)
    try:
        raw = read_checkpoint(path)
    except CheckpointError as error:
        assert "damaged.pth" in str(error)
    else:
        assert raw.path == path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"  <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"a,b,c\n1,2,3\n", "text that begins with 'a,b,c"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x00\x01\x02\x03", "binary data"),
        (b"x" * 257 + b"ustar", "tar archive"),
    ],
)
def test_other_files_are_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "resnet50.pth"
    path.write_bytes(content)
    with pytest.raises(UnreadableCheckpoint, match=said) as caught:
        read_checkpoint(path)
    assert "\n\n" not in str(caught.value) and "resnet50.pth" in str(caught.value)


def test_missing_files_and_folders_without_weights(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCheckpoint, match="no file"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(UnreadableCheckpoint, match="no weights"):
        read_checkpoint(tmp_path)


def test_a_folder_with_several_weights_asks_which(files: Any, tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(files["zip"])
    with pytest.raises(UnreadableCheckpoint, match=r"a\.pth, b\.pth"):
        read_checkpoint(tmp_path)


def test_another_zip_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos/one.txt", "")
    with pytest.raises(UnreadableCheckpoint, match=r"not one that torch\.save wrote"):
        read_checkpoint(path)


def test_a_repacked_archive_is_read(files: Any, tmp_path: Path) -> None:
    (tmp_path / "stored.pth").write_bytes(files["zip"])
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as stored,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", compression=zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    tree = read_checkpoint(tmp_path / "packed.pth").tree
    assert torch.equal(tree["state_dict"]["layer2.weight"], torch.full((3, 4), 2.0))


@pytest.mark.parametrize("tree", [{}, {"state_dict": {}}, {"state_dict": {}, "epoch": 3}])
def test_nothing_inside_is_said(tree: Any, tmp_path: Path) -> None:
    torch.save(tree, tmp_path / "empty.pth")
    with pytest.raises(UnreadableCheckpoint, match="holds no tensors"):
        contents_of(read_checkpoint(tmp_path / "empty.pth"))


@pytest.mark.parametrize("value", [torch.ones(3), [torch.ones(3)], 7])
def test_something_else_than_a_dictionary(value: Any, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "value.pth")
    with pytest.raises(UnreadableCheckpoint, match="not a dictionary"):
        read_checkpoint(tmp_path / "value.pth")


def test_a_tree_that_contains_itself_ends(tmp_path: Path) -> None:
    tree: dict[str, Any] = {"state_dict": {"weight": torch.ones(2)}}
    tree["self"] = tree
    torch.save(tree, tmp_path / "cycle.pth")
    assert list(contents_of(read_checkpoint(tmp_path / "cycle.pth")).state_dicts) == ["state_dict"]


def test_a_deep_tree_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep.pth"
    path.write_bytes(
        b"\x80\x02}X\x01\x00\x00\x00a" + b"}X\x01\x00\x00\x00a" * 100_000 + b"K\x01" + b"s" * 100_001 + b"."
    )
    with pytest.raises(UnreadableCheckpoint, match="holds no tensors"):
        contents_of(read_checkpoint(path))


def test_a_config_beside_the_weights_is_read(files: Any, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(files["safetensors"])
    assert read_checkpoint(tmp_path).config == {}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    assert read_checkpoint(tmp_path).config == {"architecture": "resnet18"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5]}))
    assert read_checkpoint(tmp_path).config == {"architecture": "resnet18", "preprocessor": {"image_mean": [0.5]}}
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnreadableCheckpoint, match=r"config\.json"):
        read_checkpoint(tmp_path)
