"""Unpack Snappy's raw format, which a table's blocks may be packed with.

Format: github.com/google/snappy, format_description.txt.
"""

from __future__ import annotations

from transfer.checkpoints.reading.tensorflow.protobuf import varint
from transfer.errors import UnreadableCheckpoint

EXPANSION = 32
"""No valid stream grows more: its densest element makes 64 bytes of three."""


def decompress(data: memoryview) -> memoryview:
    """Return the unpacked bytes. Raises UnreadableCheckpoint for a stream that is damaged or lies about its length."""
    length, at = varint(data, 0)
    if length > EXPANSION * len(data):
        raise UnreadableCheckpoint(f"{len(data):,} packed bytes claim to hold {length:,}")
    out = bytearray()
    while at < len(data):
        kind = data[at] & 3
        at = _literal(data, at, out) if kind == 0 else _back_reference(data, at, kind, out)
        if len(out) > length:
            break
    if len(out) != length:
        raise UnreadableCheckpoint(f"a packed block holds {len(out):,} bytes instead of {length:,}")
    return memoryview(out)


def _literal(data: memoryview, at: int, out: bytearray) -> int:
    size, at = data[at] >> 2, at + 1
    if size >= 60:
        extra = size - 59
        size, at = int.from_bytes(data[at : at + extra], "little"), at + extra
    end = at + size + 1
    if end > len(data):
        raise UnreadableCheckpoint("a packed block ends within a literal")
    out += data[at:end]
    return end


def _back_reference(data: memoryview, at: int, kind: int, out: bytearray) -> int:
    """Repeat `size` bytes from `back` bytes before the end; they may overlap what they produce."""
    tag, extra = data[at], (0, 1, 2, 4)[kind]
    back = int.from_bytes(data[at + 1 : at + 1 + extra], "little")
    size = (tag >> 2) + 1
    if kind == 1:
        size, back = (tag >> 2 & 7) + 4, back | (tag >> 5) << 8
    if at + 1 + extra > len(data) or not 0 < back <= len(out):
        raise UnreadableCheckpoint("a packed block repeats bytes that it does not have")
    pattern = bytes(out[-back:][:size])
    out += (pattern * (size // len(pattern) + 1))[:size]
    return at + 1 + extra
