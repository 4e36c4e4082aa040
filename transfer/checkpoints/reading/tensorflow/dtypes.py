"""TensorFlow's data types (tensorflow/core/framework/types.proto), and their bytes as tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from transfer.errors import UnreadableCheckpoint

DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    8: torch.complex64,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    17: torch.uint16,
    18: torch.complex128,
    19: torch.float16,
    22: torch.uint32,
    23: torch.uint64,
}
WITHOUT_NUMBERS = {7: "string", 20: "resource", 21: "variant"}
"""Types that no weight has: the object graph, tables, iterators. They are left out unread."""


def dtype_of(name: str, code: int) -> torch.dtype:
    """Return the type of TensorFlow's `code`. Raises UnreadableCheckpoint for quantised and unknown types."""
    if code not in DTYPES:
        raise UnreadableCheckpoint(
            f"{name} has TensorFlow's data type {code}, which is not read here: quantised or newer than this reader"
        )
    return DTYPES[code]


def tensor_of(data: memoryview, dtype: torch.dtype, shape: tuple[int, ...], name: str) -> Tensor:
    """View the little-endian bytes as a tensor, or copy them if they are not aligned. Raises UnreadableCheckpoint."""
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise UnreadableCheckpoint(f"{name} has {len(data):,} bytes; {shape} of {dtype} takes {expected:,}")
    if not expected:
        return torch.empty(shape, dtype=dtype)
    raw = torch.frombuffer(data, dtype=torch.uint8)
    if dtype is torch.bool and raw.max() > 1:
        raise UnreadableCheckpoint(f"{name} holds booleans other than 0 and 1")
    if raw.data_ptr() % dtype.itemsize:
        raw = raw.clone()
    return raw.view(dtype).reshape(shape)
