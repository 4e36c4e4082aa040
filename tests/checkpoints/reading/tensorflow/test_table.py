from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoints.genuine.variables import write_table
from transfer.checkpoints.reading.tensorflow.crc32c import masked_crc32c
from transfer.checkpoints.reading.tensorflow.table import is_table, read_table
from transfer.errors import UnreadableCheckpoint

ENTRIES = {b"": b"header", b"a/kernel": b"one", b"b/kernel": b"two" * 20}


def literal(data: bytes) -> bytes:
    """Snappy without any compression, for at most 256 bytes."""
    return bytes([len(data) & 127 | 128, len(data) >> 7, 60 << 2, len(data) - 1]) + data


@pytest.mark.parametrize("pack", [None, literal])
def test_plain_and_packed_blocks(pack: Callable[[bytes], bytes] | None) -> None:
    table = read_table(memoryview(write_table(ENTRIES, pack)))
    assert {key: bytes(value) for key, value in table} == ENTRIES


def test_keys_that_share_prefixes(genuine: Path) -> None:
    data = (genuine / "v2/model.ckpt-1.index").read_bytes()
    keys = [key for key, _ in read_table(memoryview(data))]
    assert keys == sorted(keys) and b"net/conv/weights/ExponentialMovingAverage" in keys


def test_tables_are_told_by_their_end(genuine: Path, tmp_path: Path) -> None:
    assert is_table(genuine / "v1/model.ckpt-1") and not is_table(genuine / "saver.npz")
    (tmp_path / "short").write_bytes(b"\x57\xfb")
    assert not is_table(tmp_path / "short")


def resealed(data: bytes, size: int) -> bytes:
    """The checksum of the first block, of `size` bytes, made right."""
    return data[: size + 1] + masked_crc32c(data[: size + 1]).to_bytes(4, "little") + data[size + 5 :]


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def test_what_a_table_can_lie_about() -> None:
    good = write_table(ENTRIES)
    size = good.index(masked_crc32c(good[: good.index(b"two" * 20) + 69]).to_bytes(4, "little")) - 1
    footer = len(good) - 48
    for bad, said in (
        (good[:-1], "its end is missing"),
        (good[-48:], "a block should end"),
        (changed(good, 3, b"X"), "does not have its checksum"),
        (changed(good, footer + 2, b"\xff\x7f"), "a block should end"),
        (changed(good, footer, b"\xff" * 12), "does not end where it should"),
        (resealed(changed(good, size, b"\x07"), size), "unknown way"),
        (resealed(changed(good, size - 4, b"\xff\xff\xff\x7f"), size), "claims 2,147,483,647 restarts"),
        (resealed(changed(good, 0, b"\x09"), size), "longer than the block"),
        (resealed(changed(good, 2, b"\x7f"), size), "longer than the block"),
    ):
        with pytest.raises(UnreadableCheckpoint, match=said):
            list(read_table(memoryview(bad)))
