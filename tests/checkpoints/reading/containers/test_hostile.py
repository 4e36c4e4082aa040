"""Archives and headers that contradict themselves, promise too much, or end early."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.errors import CheckpointError, UnreadableCheckpoint

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(4)}
CENTRAL, LOCAL = b"PK\1\2", b"PK\3\4"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(STATE, tmp_path / "file.pth")
    return tmp_path / "file.pth"


def entries(data: bytes, mark: bytes) -> list[int]:
    """Return where the headers begin."""
    places, place = [], data.find(mark)
    while place >= 0:
        places.append(place)
        place = data.find(mark, place + 4)
    return places


def altered(path: Path, offset: int, form: str, value: int, entry: int = 1) -> None:
    """Change a field of one entry in the directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, entries(data, CENTRAL)[entry] + offset, value)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("offset", "form", "value", "said"),
    [
        (8, "<H", 1, "encrypted"),
        (10, "<H", 14, "method 14"),
        (10, "<H", 8, "damaged|unpack"),
        (20, "<I", 2**31, "damaged|overlaps"),
        (24, "<I", 2**31, "damaged"),
        (28, "<H", 60_000, "damaged"),
        (30, "<H", 60_000, "damaged"),
        (42, "<I", 0, "overlaps"),
        (42, "<I", 2**31, "overlaps|damaged"),
    ],
)
def test_directories_that_contradict_the_file(offset: int, form: str, value: int, said: str, path: Path) -> None:
    altered(path, offset, form, value, entry=3)
    with pytest.raises(UnreadableCheckpoint, match=said):
        read_checkpoint(path)


def zipped(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of duplicate names
        for name, data in members:
            archive.writestr(name, data)


@pytest.mark.parametrize("name", ["../a.npy", "/a.npy", "a/../../b.npy", "a\\b.npy"])
def test_names_that_lead_out(name: str, path: Path) -> None:
    zipped(path, [(name, b"")])
    with pytest.raises(UnreadableCheckpoint, match="leads out"):
        read_checkpoint(path)


def test_two_entries_of_one_name(path: Path) -> None:
    zipped(path, [("archive/data.pkl", b"\x80\2}."), ("archive/data.pkl", b"\x80\2}.")])
    with pytest.raises(UnreadableCheckpoint, match="twice"):
        read_checkpoint(path)


def test_a_zip_that_unpacks_to_far_more_than_it_is(path: Path) -> None:
    zipped(path, [(f"{k}.npy", bytes(2**26)) for k in range(5)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    with pytest.raises(UnreadableCheckpoint, match="no weights compress so well"):
        read_checkpoint(path)


def test_an_entry_that_unpacks_to_more_than_it_says(path: Path) -> None:
    zipped(path, [("archive/data.pkl", b"\x80\2}." + bytes(2**24))], zipfile.ZIP_DEFLATED)
    altered(path, 24, "<I", 4, entry=0)
    with pytest.raises(UnreadableCheckpoint, match="does not unpack to its 4 bytes"):
        read_checkpoint(path)


def test_a_storage_that_is_missing_or_short(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    zipped(path, [(name, data) for name, data in members if not name.endswith("data/0")])
    with pytest.raises(UnreadableCheckpoint, match="record data/0 is missing"):
        read_checkpoint(path)
    zipped(path, [(name, data[:8] if name.endswith("data/0") else data) for name, data in members])
    with pytest.raises(UnreadableCheckpoint, match="in 8 bytes"):
        read_checkpoint(path)


def test_another_byte_order(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    zipped(path, [(name, b"big" if name.endswith("byteorder") else data) for name, data in members])
    with pytest.raises(UnreadableCheckpoint, match="big-endian"):
        read_checkpoint(path)


def header(value: Any, data: bytes = bytes(24)) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}}


@pytest.mark.parametrize(
    "content",
    [
        header(entry(shape=[2**62, 2**62])),
        header(entry(shape=[-2, -3])),
        header(entry(shape=[2.0, 3])),
        header(entry(shape=[True, 6])),
        header(entry(shape=[1] * 70 + [6])),
        header(entry(shape="23")),
        header(entry(dtype="F33")),
        header(entry(dtype=["F32"])),
        header(entry(data_offsets=[0, 25])),
        header(entry(data_offsets=[24, 0])),
        header(entry(data_offsets=[0, 24, 24])),
        header(entry(data_offsets=[2**63, 2**63 + 24])),
        header({**entry(), "v": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}),
        header({**entry(), "v": {"dtype": "F32", "shape": [1], "data_offsets": [28, 32]}}, bytes(32)),
        header(entry(), bytes(28)),
        header({"w": 3}),
        header({**entry(), "__metadata__": {"a": 1}}),
        header(b'{"w":' * 100_000),
        header(b'{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{}}', b""),
        header(b'{"w":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,0]}}', b""),
        header(b"{\xff\xff}"),
        (2**40).to_bytes(8, "little") + b"{}" + bytes(100),
    ],
)
def test_safetensors_headers_that_do_not_fit(content: bytes, path: Path) -> None:
    path.write_bytes(header(entry()))
    assert read_checkpoint(path).tree["w"].shape == (2, 3)
    path.write_bytes(content)
    with pytest.raises(UnreadableCheckpoint, match=r"file\.pth"):
        read_checkpoint(path)


def write_zip(path: Path) -> None:
    torch.save(STATE, path)


def write_legacy(path: Path) -> None:
    torch.save(STATE, path, _use_new_zipfile_serialization=False)


def write_safetensors(path: Path) -> None:
    save_file(STATE, path)


def write_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **{name: tensor.numpy() for name, tensor in STATE.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_safetensors, write_npz], ids=lambda w: w.__name__)
def test_a_file_cut_at_any_byte(write: Callable[[Path], None], path: Path) -> None:
    write(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 1 if len(whole) < 1500 else 7):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"file\.pth"):
            read_checkpoint(path)
