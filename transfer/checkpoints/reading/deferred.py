"""Tensors whose numbers must be copied to be used: they are, each time something is done with them, and not before.

A file's numbers are mapped into memory. Where they stand at an address that their type cannot be read from, compressed,
or in several pieces, the tensor that is handed out knows its shape and type, and how to make its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Deferred(Tensor):
    """A tensor of `size`, `stride` and `dtype` that `load` makes. Any operation on it works on what `load` returns."""

    _load: Callable[[], Tensor]

    @staticmethod
    def __new__(
        cls, size: Sequence[int], stride: Sequence[int] | None, dtype: torch.dtype, load: Callable[[], Tensor]
    ) -> Deferred:
        """Shape and type only."""
        self: Deferred = Tensor._make_wrapper_subclass(cls, size, strides=stride, dtype=dtype)
        self._load = load
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """The operation on the loaded tensors."""
        return function(*map(loaded, args), **{name: loaded(value) for name, value in (kwargs or {}).items()})

    def tolist(self) -> Any:
        """As of any tensor."""
        return self._load().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """As of any tensor."""
        return self._load().numpy(force=force)


def loaded(value: Any) -> Any:
    """`value` with its numbers, if it is a deferred tensor or a list with some."""
    if isinstance(value, Deferred):
        return value._load()
    return type(value)(map(loaded, value)) if isinstance(value, list | tuple) else value


class Unaligned:
    """1-D numbers at an address that their type cannot be read from; tensors made of them are deferred."""

    def __init__(self, data: memoryview, dtype: torch.dtype) -> None:
        self._data, self.dtype = data, dtype

    def numel(self) -> int:
        """How many there are."""
        return len(self._data) // self.dtype.itemsize

    def view(self, dtype: torch.dtype) -> Unaligned:
        """The same bytes as another type."""
        return Unaligned(self._data[: len(self._data) // dtype.itemsize * dtype.itemsize], dtype)

    def __getitem__(self, part: slice) -> Unaligned:
        width = self.dtype.itemsize
        start, stop, _ = part.indices(self.numel())
        return Unaligned(self._data[start * width : max(start, stop) * width], self.dtype)

    def as_strided(self, size: Sequence[int], stride: Sequence[int], offset: int = 0) -> Tensor:
        """As of a tensor: the numbers from the first to the last are copied."""
        reach = 0 if 0 in size else 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        part = self._data[offset * self.dtype.itemsize : (offset + reach) * self.dtype.itemsize]
        return Deferred(size, stride, self.dtype, lambda: copied(part, self.dtype).as_strided(size, stride))


def copied(data: memoryview, dtype: torch.dtype) -> Tensor:
    """The numbers in `data`, 1-D, in memory of their own."""
    numbers = torch.empty(len(data) // dtype.itemsize, dtype=dtype)
    if len(data):
        numbers.view(torch.uint8).copy_(torch.frombuffer(data, dtype=torch.uint8))
    return numbers
