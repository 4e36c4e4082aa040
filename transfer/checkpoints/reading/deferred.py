"""Tensors that make their values only when something is done with them.

Checkpoints are larger than the memory that a conversion should need, so the values of a file are mapped, not read, and
a tensor is a view of the mapping. Three kinds of tensors cannot be such a view: those that begin at an address that is
no multiple of their type's size (it cannot be read from there), compressed ones, and those in several pieces. For these
a `Deferred` is handed out: a tensor that knows its shape, strides and type, and a function that makes the values.

It is a wrapper subclass (`Tensor._make_wrapper_subclass`), as torch's own distributed tensors are: it has no storage,
and torch hands every operation on it to `__torch_dispatch__`, which replaces deferred arguments by their values and
runs the operation on those. The result is an ordinary tensor; nothing is cached, so a tensor that is used twice is made
twice, and memory holds one at a time.
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
        """Make a tensor that has shape and type only."""
        self: Deferred = Tensor._make_wrapper_subclass(cls, size, strides=stride, dtype=dtype)
        self._load = load
        return self

    # operations go straight to __torch_dispatch__; the default would wrap their results in this class
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation on the loaded tensors."""
        return function(*map(loaded, args), **{name: loaded(value) for name, value in (kwargs or {}).items()})

    def tolist(self) -> Any:
        """Return the values as nested lists, as any tensor does."""
        return self._load().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Return the values as an array, as any tensor does."""
        return self._load().numpy(force=force)


def loaded(value: Any) -> Any:
    """Return `value` with its values loaded, if it is a deferred tensor or a list with some."""
    if isinstance(value, Deferred):
        return value._load()
    return type(value)(map(loaded, value)) if isinstance(value, list | tuple) else value


class Unaligned:
    """1-D values at an address that their type cannot be read from; tensors made of them are deferred."""

    def __init__(self, data: memoryview, dtype: torch.dtype) -> None:
        self._data, self.dtype = data, dtype

    def numel(self) -> int:
        """Return the number of values."""
        return len(self._data) // self.dtype.itemsize

    def view(self, dtype: torch.dtype) -> Unaligned:
        """Return the same bytes as another type."""
        return Unaligned(self._data[: len(self._data) // dtype.itemsize * dtype.itemsize], dtype)

    def __getitem__(self, part: slice) -> Unaligned:
        width = self.dtype.itemsize
        start, stop, _ = part.indices(self.numel())
        return Unaligned(self._data[start * width : max(start, stop) * width], self.dtype)

    def as_strided(self, size: Sequence[int], stride: Sequence[int], offset: int = 0) -> Tensor:
        """Return a deferred tensor that copies the values from its first to its last, as a view of a tensor would."""
        reach = 0 if 0 in size else 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        part = self._data[offset * self.dtype.itemsize : (offset + reach) * self.dtype.itemsize]
        return Deferred(size, stride, self.dtype, lambda: copied(part, self.dtype).as_strided(size, stride))


def copied(data: memoryview, dtype: torch.dtype) -> Tensor:
    """Copy the values in `data`, 1-D, into memory of their own."""
    values = torch.empty(len(data) // dtype.itemsize, dtype=dtype)
    if len(data):
        values.view(torch.uint8).copy_(torch.frombuffer(data, dtype=torch.uint8))
    return values
