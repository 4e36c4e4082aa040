"""Read sorted string tables: LevelDB's file format as TensorFlow has it (google/leveldb, doc/table_format.md).

    data blocks | metaindex block | index block | footer of 48 bytes: two block handles, padding, magic number

A block is entries, restart offsets, and a trailer: one byte for the packing, four for the masked CRC-32C of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transfer.checkpoints.reading.tensorflow.crc32c import masked_crc32c
from transfer.checkpoints.reading.tensorflow.protobuf import varint
from transfer.checkpoints.reading.tensorflow.snappy import decompress
from transfer.errors import UnreadableCheckpoint

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48
TRAILER = 5
SHARED = 16
"""Entries between two complete keys; thus also the most bytes of all keys together, in bytes of their block."""


def is_table(path: Path) -> bool:
    """Tell whether a file ends as tables do."""
    size = path.stat().st_size
    if size < FOOTER:
        return False
    with path.open("rb") as file:
        file.seek(size - len(MAGIC))
        return file.read() == MAGIC


def read_table(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys and values of a file in their order, every block checked. Raises UnreadableCheckpoint."""
    if len(data) < FOOTER or data[-len(MAGIC) :] != MAGIC:
        raise UnreadableCheckpoint("it does not end as TensorFlow's tables do, so its end is missing or overwritten")
    footer = data[-FOOTER:]
    _, _, at = _handle(footer, 0)
    offset, size, _ = _handle(footer, at)
    after = 0
    for _, handle in _entries(_block(data, offset, size)):
        offset, size, _ = _handle(handle, 0)
        if offset < after:
            raise UnreadableCheckpoint("its blocks overlap")
        after = offset + size + TRAILER
        yield from _entries(_block(data, offset, size))


def _handle(data: memoryview, at: int) -> tuple[int, int, int]:
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return offset, size, at


def _block(data: memoryview, offset: int, size: int) -> memoryview:
    end = offset + size
    if end + TRAILER > len(data) - FOOTER:
        raise UnreadableCheckpoint(f"a block should end at byte {end + TRAILER:,}, but the file has {len(data):,}")
    if masked_crc32c(data[offset : end + 1]) != int.from_bytes(data[end + 1 : end + TRAILER], "little"):
        raise UnreadableCheckpoint(f"the block at byte {offset:,} does not have its checksum")
    if data[end] > 1:
        raise UnreadableCheckpoint(f"the block at byte {offset:,} is packed in an unknown way ({data[end]})")
    return decompress(data[offset:end]) if data[end] else data[offset:end]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield entries; each key is stored as what it shares with the one before, and the rest."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise UnreadableCheckpoint(f"a block of {len(block):,} bytes claims {restarts:,} restarts")
    entries, at, key, spent = block[:end], 0, b"", 0
    while at < end:
        shared, at = varint(entries, at)
        rest, at = varint(entries, at)
        length, at = varint(entries, at)
        spent += shared + rest
        if shared > len(key) or at + rest + length > end or spent > SHARED * end:
            raise UnreadableCheckpoint("an entry of a block is longer than the block")
        key = key[:shared] + bytes(entries[at : at + rest])
        yield key, entries[at + rest : at + rest + length]
        at += rest + length
