from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from transfer.checkpoints.tensorflow.crc32c import masked_crc32c

MAGIC = bytes.fromhex("57fb808b247547db")
Writer = Callable[..., bytes]


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def block(entries: Mapping[bytes, bytes], pack: Callable[[bytes], bytes] | None) -> bytes:
    body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries.items())
    body += bytes(4) + (1).to_bytes(4, "little")
    body = pack(body) + b"\1" if pack else body + b"\0"
    return body + masked_crc32c(body).to_bytes(4, "little")


def write_table(entries: Mapping[bytes, bytes], pack: Callable[[bytes], bytes] | None = None) -> bytes:
    """A table of one data block that shares no keys, packed by `pack`."""
    data, meta = block(entries, pack), block({}, None)
    index = block({max(entries): varint(0) + varint(len(data) - 5)}, pack)
    handles = varint(len(data)) + varint(len(meta) - 5) + varint(len(data) + len(meta)) + varint(len(index) - 5)
    return data + meta + index + handles.ljust(40, b"\0") + MAGIC


@pytest.fixture(scope="session")
def written_table() -> Writer:
    return write_table


@pytest.fixture(scope="session")
def genuine() -> Path:
    """Files that TensorFlow wrote; see write.py beside them."""
    return Path(__file__).parents[1] / "data/tensorflow"
