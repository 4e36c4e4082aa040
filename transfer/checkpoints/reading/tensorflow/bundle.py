"""V2 checkpoints, "tensor bundles": an index, which is a table of BundleEntryProto, and shards of bytes.

The protocol is tensorflow/core/protobuf/tensor_bundle.proto: the empty key has the header.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from transfer.checkpoints.reading.source import map_file
from transfer.checkpoints.reading.tensorflow.crc32c import masked_crc32c
from transfer.checkpoints.reading.tensorflow.dtypes import WITHOUT_NUMBERS, dtype_of, tensor_of
from transfer.checkpoints.reading.tensorflow.object_graph import GRAPH, own_names
from transfer.checkpoints.reading.tensorflow.protobuf import Message, decoded, parse, varint
from transfer.checkpoints.reading.tensorflow.slices import Extent, assembled, extents_of, shape_of
from transfer.checkpoints.reading.tensorflow.table import read_table
from transfer.errors import UnreadableCheckpoint

INDEX = ".index"
SHARD = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")
SLICE_KEY = b"\x00"


@dataclass(frozen=True)
class Entry:
    """An entry of the index: the place of a tensor, or the `parts` that it is made of."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    parts: tuple[tuple[Extent, ...], ...]


def read_bundle(index: Path) -> dict[str, Tensor]:
    """Read tensors by name, views of the mapped shards where aligned. Raises UnreadableCheckpoint."""
    messages = {key: parse(value) for key, value in read_table(map_file(index))}
    count = _shard_count(messages.pop(b"", Message(())))
    everything = {key: _entry(message) for key, message in messages.items()}
    entries = {key: entry for key, entry in everything.items() if entry.dtype not in WITHOUT_NUMBERS}
    shards = _shards(index, count, everything)

    def part(key: bytes, shape: tuple[int, ...]) -> Tensor:
        if key not in entries or entries[key].shape != shape:
            raise UnreadableCheckpoint(f"a part {shape} of a partitioned variable is missing: {key[:80]!r}")
        return _tensor(f"the part {key!r}", entries[key], shards)

    tensors = {}
    for key, entry in entries.items():
        if not key.startswith(SLICE_KEY):
            name = decoded(key)
            tensors[name] = (
                assembled(name, entry.shape, entry.parts, part) if entry.parts else _tensor(name, entry, shards)
            )
    names = own_names(tensors, _text(everything[GRAPH], shards)) if GRAPH in everything else {}
    return {names.get(name, name): tensor for name, tensor in tensors.items()}


def _shard_count(header: Message) -> int:
    if not header.has(1):
        raise UnreadableCheckpoint("the index has no header, so it is not that of a TensorFlow checkpoint")
    if header.integer(2):
        raise UnreadableCheckpoint("it was written on a big-endian machine; save it again on a little-endian one")
    return header.integer(1)


def _entry(message: Message) -> Entry:
    return Entry(
        dtype=message.integer(1),
        shape=shape_of(message.message(2)),
        shard=message.integer(3),
        offset=message.integer(4),
        size=message.integer(5),
        crc=message.integer(6),
        parts=tuple(extents_of(part) for part in message.messages(7)),
    )


def _shards(index: Path, count: int, entries: Mapping[bytes, Entry]) -> dict[int, memoryview]:
    """Map the files that the entries point to, each large enough to hold every entry once."""
    prefix = index.name.removesuffix(INDEX)
    taken = Counter[int]()
    for entry in entries.values():
        taken[entry.shard] += 0 if entry.parts else entry.size
    files = {shard: index.with_name(f"{prefix}.data-{shard:05}-of-{count:05}") for shard in sorted(taken)}
    missing = [file.name for file in files.values() if not file.is_file()]
    if missing:
        raise UnreadableCheckpoint(
            f"its data is in {len(files)} files next to it, without {', '.join(missing[:5])}"
            f"{' and more' if len(missing) > 5 else ''}. Copy them into the same folder"
        )
    data = {shard: map_file(file) for shard, file in files.items()}
    for shard, size in taken.items():
        if size > len(data[shard]):
            raise UnreadableCheckpoint(
                f"{files[shard].name} has {len(data[shard]):,} bytes, but its tensors take {size:,}: it is truncated "
                "or belongs to another index"
            )
    return data


def _text(entry: Entry, shards: Mapping[int, memoryview]) -> memoryview:
    """Read a scalar string: its length, the checksum of that, its bytes.

    The entry's checksum is of the length in fixed size, not as it is stored.
    """
    data = _bytes("a string", entry, shards)
    length, at = varint(data, 0)
    text, checksum = data[at + 4 :], data[at : at + 4]
    size = struct.pack("<I" if length < 1 << 32 else "<Q", length)
    if len(text) != length or masked_crc32c(b"".join((size, checksum, text))) != entry.crc:
        raise UnreadableCheckpoint("its graph of objects does not have its checksum")
    return text


def _bytes(name: str, entry: Entry, shards: Mapping[int, memoryview]) -> memoryview:
    shard = shards[entry.shard]
    if entry.offset + entry.size > len(shard):
        raise UnreadableCheckpoint(f"{name} should end at byte {entry.offset + entry.size:,} of {len(shard):,}")
    return shard[entry.offset : entry.offset + entry.size]


def _tensor(name: str, entry: Entry, shards: Mapping[int, memoryview]) -> Tensor:
    dtype, data = dtype_of(name, entry.dtype), _bytes(name, entry, shards)
    if masked_crc32c(data) != entry.crc:
        raise UnreadableCheckpoint(f"{name} does not have its checksum: its bytes were changed")
    return tensor_of(data, dtype, entry.shape, name)
