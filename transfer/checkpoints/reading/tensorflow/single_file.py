"""Read V1 checkpoints: tables of SavedTensorSlices, in one file or several.

Format: tensorflow/core/util/saved_tensor_slice.proto.

The empty key has the names, shapes and parts of all variables; every part is a TensorProto under its own key.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer.checkpoints.reading.source import map_file
from transfer.checkpoints.reading.tensorflow.dtypes import WITHOUT_NUMBERS, dtype_of, tensor_of
from transfer.checkpoints.reading.tensorflow.protobuf import Message, parse, varints
from transfer.checkpoints.reading.tensorflow.slices import Extent, assembled, extents_of, shape_of
from transfer.checkpoints.reading.tensorflow.table import read_table
from transfer.errors import UnreadableCheckpoint

CONTENT = 4
FIXED_FIELDS = {torch.float32: 5, torch.float64: 6}
"""TensorProto's fields of values as they are in memory."""

VARINT_FIELDS = {
    torch.int32: (7, np.int32),
    torch.uint8: (7, np.uint8),
    torch.int16: (7, np.int16),
    torch.int8: (7, np.int8),
    torch.int64: (10, np.int64),
    torch.bool: (11, np.bool_),
    torch.float16: (13, np.uint16),
    torch.bfloat16: (13, np.uint16),
}
"""TensorProto's fields of varints, and the type of their values; halves are stored as their bits."""


def read_single_files(files: Iterable[Path]) -> dict[str, Tensor]:
    """Read tensors by name from the shards of one checkpoint, usually one file. Raises UnreadableCheckpoint."""
    values: dict[bytes, memoryview] = {}
    variables: dict[str, tuple[int, tuple[int, ...]]] = {}
    parts: dict[str, list[tuple[Extent, ...]]] = {}
    for file in files:
        shard = dict(read_table(map_file(file)))
        for meta in parse(shard.pop(b"", memoryview(b""))).message(1).messages(1):
            name = meta.text(1)
            variables[name] = meta.integer(3), shape_of(meta.message(2))
            parts.setdefault(name, []).extend(extents_of(part) for part in meta.messages(4))
        values |= shard
    if not variables:
        raise UnreadableCheckpoint("it is a table without TensorFlow variables")
    return {
        name: _variable(name, code, shape, parts[name], values)
        for name, (code, shape) in variables.items()
        if code not in WITHOUT_NUMBERS
    }


def _variable(
    name: str, code: int, shape: tuple[int, ...], parts: list[tuple[Extent, ...]], values: Mapping[bytes, memoryview]
) -> Tensor:
    dtype = dtype_of(name, code)

    def part(key: bytes, size: tuple[int, ...]) -> Tensor:
        if key not in values:
            raise UnreadableCheckpoint(f"the part {size} of {name} is missing")
        return _tensor(name, dtype, size, parse(values[key]).message(2).message(3))

    return assembled(name, shape, parts, part)


def _tensor(name: str, dtype: torch.dtype, shape: tuple[int, ...], message: Message) -> Tensor:
    if message.has(CONTENT):
        return tensor_of(message.blocks(CONTENT)[0], dtype, shape, name)
    if dtype in FIXED_FIELDS:
        return tensor_of(memoryview(bytearray().join(message.blocks(FIXED_FIELDS[dtype]))), dtype, shape, name)
    if dtype not in VARINT_FIELDS:
        raise UnreadableCheckpoint(f"{name} holds {dtype}, which V1 checkpoints are not read with; save it as V2")
    field, kind = VARINT_FIELDS[dtype]
    wide = np.fromiter((v for block in message.blocks(field) for v in varints(block)), np.uint64).view(np.int64)
    narrow: NDArray[Any] = wide.astype(kind)
    if len(wide) != math.prod(shape) or not np.array_equal(narrow, wide):
        raise UnreadableCheckpoint(f"{name} has {len(wide):,} numbers that do not fit {shape} of {dtype}")
    return tensor_of(memoryview(bytearray(narrow.tobytes())), dtype, shape, name)
