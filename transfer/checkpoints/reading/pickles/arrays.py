"""Turn NumPy arrays in pickles and .npy files into tensors.

The pickle of an array names `_reconstruct`, a dtype, and a state of version, shape, dtype, order and raw bytes
(numpy/core/src/multiarray/methods.c, array_setstate).
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transfer.checkpoints.reading.pickles.inert import Inert, InertClass
from transfer.checkpoints.reading.pickles.keys import name_of
from transfer.checkpoints.reading.source import strides_of, values_of

MOST_DIMENSIONS = 64

TYPES = {
    "f2": torch.float16, "f4": torch.float32, "f8": torch.float64, "i1": torch.int8, "i2": torch.int16,
    "i4": torch.int32, "i8": torch.int64, "u1": torch.uint8, "u2": torch.uint16, "u4": torch.uint32,
    "u8": torch.uint64, "b1": torch.bool, "c8": torch.complex64, "c16": torch.complex128,
    "V2": torch.bfloat16, "bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32,
    "float64": torch.float64,
}  # fmt: skip
"""NumPy's codes. It stores bfloat16, which it does not know, as two bytes without a type."""


class ArrayType:
    """A numpy dtype: its code (`f4`) and byte order (`<`, `>`, `|`)."""

    def __init__(self, code: str, order: str = "|") -> None:
        if code[:1] in ("<", ">", "|", "="):
            order, code = code[0], code[1:]
        self.code, self.order = code, order

    @property
    def torch(self) -> torch.dtype | None:
        """Type of a tensor's values; None for objects, texts, dates and records."""
        return TYPES.get(self.code)

    def fill(self, state: Any) -> None:
        """Take the byte order from a pickle's state `(version, order, ...)`."""
        self.order = name_of(state[1])


class Shell:
    """An array that is not filled yet; `remembered` are the indices under which a pickle knows it."""

    def __init__(self) -> None:
        self.remembered: list[int] = []

    def filled(self, state: Any) -> Any:
        """Build the array from a pickle's state `(version, shape, dtype, fortran, raw)`."""
        shape, kind, fortran, raw = state[-4:]
        return array(raw, kind, shape, bool(fortran))


def array(raw: Any, kind: Any, shape: Any, fortran: bool) -> Any:
    """Return a tensor, the items of an array of objects, or an inert array where the values are not numeric."""
    shape = tuple(map(int, shape))
    if not isinstance(kind, ArrayType):
        raise pickle.UnpicklingError(f"an array whose type is a {type(kind).__name__}")
    if min(shape, default=0) < 0 or len(shape) > MOST_DIMENSIONS:
        raise pickle.UnpicklingError(f"an array of {len(shape)} dimensions, the least {min(shape)}")
    if isinstance(raw, list):
        return raw[0] if shape == () and len(raw) == 1 else raw
    if kind.torch is None:
        return Inert("numpy.ndarray", {"shape": shape, "dtype": kind.code})
    data = memoryview(raw.encode("latin-1") if isinstance(raw, str) else raw)
    if len(data) != math.prod(shape) * kind.torch.itemsize:
        raise EOFError(f"an array of shape {shape} and type {kind.code} has {len(data):,} bytes")
    return values_in(data, kind, shape, fortran)


def values_in(data: memoryview, kind: ArrayType, shape: Sequence[int], fortran: bool) -> Tensor:
    """Return the tensor whose bytes `data` are."""
    dtype = kind.torch or torch.uint8
    strides = strides_of(shape[::-1])[::-1] if fortran else strides_of(shape)
    values = values_of(data, dtype, math.prod(shape)).as_strided(shape, strides, 0)
    width = dtype.itemsize // (2 if dtype.is_complex else 1)
    return values if kind.order != ">" or width == 1 else _swapped(values, width)


def _swapped(values: Tensor, width: int) -> Tensor:
    """Turn big-endian values into little-endian ones."""
    return (
        values.contiguous()
        .flatten()
        .view(torch.uint8)
        .reshape(-1, width)
        .flip(1)
        .flatten()
        .view(values.dtype)
        .reshape(values.shape)
    )


def reconstruct(_kind: Any, _shape: Any, _code: Any) -> Shell:
    """Stand in for `numpy.core.multiarray._reconstruct`."""
    return Shell()


def array_type(code: Any, *_: Any) -> ArrayType:
    """Stand in for `numpy.dtype`, of a code or of a class such as ml_dtypes.bfloat16."""
    return ArrayType(code.origin.rpartition(".")[2] if isinstance(code, InertClass) else name_of(code))


def from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> Any:
    """Stand in for `numpy.core.numeric._frombuffer`."""
    return array(raw, kind, shape, order == "F")


def scalar(kind: Any, raw: Any = b"") -> Any:
    """Stand in for `numpy.core.multiarray.scalar`: a Python number, or what stands for something else."""
    value = array(raw, kind, (), False) if isinstance(raw, bytes | str) else raw
    return value.item() if isinstance(value, Tensor) else value


def dill_array(function: Any, args: Any, state: Any, _attributes: Any = None) -> Any:
    """Stand in for `dill._dill._create_array`."""
    del function, args
    return Shell().filled(state)


def jax_array(_function: Any, _args: Any, state: Any, *_: Any) -> Any:
    """Stand in for `jax._src.array._reconstruct_array` and its predecessors."""
    return Shell().filled(state)
