from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from tests.dedup.conftest import encode, fill, picture
from transfer.dedup import shards
from transfer.dedup.decoding import Thumbnail, thumbnail
from transfer.dedup.hashing import Hashed, hash_thumbnails
from transfer.dedup.shards import TOGETHER, Detail, Shard, hash_piece, parse_shard, write_shard
from transfer.dedup.sources.inputs import find_pieces
from transfer.errors import UnusableIndex


def same(first: Shard, second: Shard) -> bool:
    """Equal in everything."""
    if (first.source, first.names, first.skipped) != (second.source, second.names, second.skipped):
        return False
    parts = [(each.sha256, *vars(each.hashed).values(), each.descriptors) for each in (first, second)]
    return all(np.array_equal(*both) for both in zip(*parts, strict=True))


def described(images: Sequence[bytes]) -> np.ndarray:
    return np.array([[len(data) % 7, 1] for data in images], np.float16)


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    """Three images, one file that is none."""
    folder = fill(tmp_path / "images", range(3))
    (folder / "ü broken.png").write_bytes(b"\x89PNG")
    return hash_piece(*find_pieces([folder]))


def test_a_shard_knows_names_bytes_and_hashes(shard: Shard) -> None:
    files = [encode(picture(seed)) for seed in range(3)]
    assert shard.names == ("000.jpg", "001.jpg", "002.jpg")
    assert [row.tobytes() for row in shard.sha256] == [hashlib.sha256(data).digest() for data in files]
    np.testing.assert_array_equal(shard.hashed.hashes, hash_thumbnails(map(thumbnail, files)).hashes)
    assert shard.skipped == (("ü broken.png", "truncated: a PNG without its end marker"),)


def test_content_is_that_of_the_images_whatever_they_are_called(tmp_path: Path) -> None:
    one, other, third = (fill(tmp_path / name, seeds) for name, seeds in (("a", (0, 1)), ("b", (1, 0)), ("c", (0, 2))))
    (other / "000.jpg").rename(other / "zzz.jpg")
    contents = [hash_piece(*find_pieces([folder])).content for folder in (one, other, third)]
    assert contents[0] == contents[1] != contents[2]


def test_nothing_but_broken_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    found = hash_piece(*find_pieces([tmp_path]), Detail(described))
    assert (found.names, found.sha256.shape, found.hashed.hashes.shape) == ((), (0, 32), (0, 32))
    write_shard(tmp_path / "shard", found)
    assert same(parse_shard((tmp_path / "shard").read_bytes(), tmp_path), found)


def test_descriptors_are_asked_for_by_the_batch_and_stay_in_order(tmp_path: Path) -> None:
    data, sizes = encode(picture(0)), []
    for at in range(TOGETHER + 3):
        (tmp_path / f"{at:03}.jpg").write_bytes(data + bytes(at))
    (tmp_path / "0005.jpg").write_bytes(b"broken")

    def describe(images: Sequence[bytes]) -> np.ndarray:
        sizes.append(len(images))
        return described(images)

    found = hash_piece(*find_pieces([tmp_path]), Detail(describe))
    assert sizes == [TOGETHER, 3] and found.descriptors is not None
    lengths = [len(data) + at for at in range(TOGETHER + 3)]
    assert found.descriptors[:, 0].tolist() == [length % 7 for length in lengths]


def test_thumbnails_are_hashed_by_the_batch_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def noted(thumbnails: Sequence[Thumbnail]) -> Hashed:
        sizes.append(len(thumbnails))
        return hash_thumbnails(thumbnails)

    monkeypatch.setattr(shards, "hash_thumbnails", noted)
    folder = fill(tmp_path, range(TOGETHER + 3))
    found = hash_piece(*find_pieces([folder]))
    assert max(sizes) == TOGETHER and sum(sizes) == TOGETHER + 3
    at_once = hash_thumbnails(thumbnail((folder / name).read_bytes()) for name in found.names)
    np.testing.assert_array_equal(found.hashed.hashes, at_once.hashes)
    np.testing.assert_array_equal(found.hashed.texture, at_once.texture)


def test_writing_and_reading(shard: Shard, tmp_path: Path) -> None:
    with_more = replace(shard, descriptors=np.eye(3, dtype=np.float16))
    for each in (shard, with_more):
        write_shard(tmp_path / "a.safetensors", each)
        assert same(parse_shard((tmp_path / "a.safetensors").read_bytes(), tmp_path), each)
    assert not same(shard, with_more)


def test_every_flipped_bit_and_every_cut_is_noticed(shard: Shard, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    shard = replace(shard, descriptors=np.eye(3, dtype=np.float16))
    write_shard(path, shard)
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")  # the header's own text has bytes that mean nothing

    @settings(max_examples=200, deadline=None)
    @given(st.integers(start, len(data) - 1), st.integers(0, 7))
    def flipped(at: int, bit: int) -> None:
        wrong = bytearray(data)
        wrong[at] ^= 1 << bit
        with pytest.raises(UnusableIndex, match=r"a\.safetensors is damaged: .*transfer dedup index"):
            parse_shard(bytes(wrong), path)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, len(data) - 1))
    def cut(at: int) -> None:
        with pytest.raises(UnusableIndex, match="damaged"):
            parse_shard(data[:at], path)

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, start - 1), st.integers(0, 255))
    def header(at: int, byte: int) -> None:
        wrong = bytearray(data)
        wrong[at] = byte
        with suppress(UnusableIndex):
            assert same(parse_shard(bytes(wrong), path), shard)

    flipped()
    cut()
    header()


@pytest.mark.parametrize("name", ["sha256", "hash", "texture", "text", "check"])
def test_a_shard_without_one_of_its_parts(shard: Shard, tmp_path: Path, name: str) -> None:
    write_shard(tmp_path / "shard", shard)
    tensors = load((tmp_path / "shard").read_bytes())
    del tensors[name]
    with pytest.raises(UnusableIndex, match="damaged"):
        parse_shard(save(tensors), tmp_path)
