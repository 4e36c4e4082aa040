"""A file's bytes: small parts are read, large parts are mapped and cost nothing until they are used."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from transfer.checkpoints.reading.deferred import Unaligned

SLACK = 256 * 2**20
RATIO = 10
"""What a file unpacks to may not exceed RATIO times its size and SLACK bytes."""


class Source:
    """Bytes of a file, or of a part of one. Reading beyond them raises EOFError.

    `read` copies, through the file descriptor, so that the mapping's pages stay untouched; `view` maps.
    """

    def __init__(self, data: memoryview, descriptor: int | None = None, base: int = 0) -> None:
        self._data, self._descriptor, self._base = data, descriptor, base

    def __len__(self) -> int:
        return len(self._data)

    def close(self) -> None:
        """From now on, read from the mapping, too."""
        self._descriptor = None

    def _check(self, start: int, size: int) -> None:
        if start < 0 or size < 0 or start + size > len(self):
            raise EOFError(f"bytes {start:,} to {start + size:,} of {len(self):,}")

    def view(self, start: int, size: int) -> memoryview:
        """`size` bytes from `start`, mapped, writable without effect on the file."""
        self._check(start, size)
        return self._data[start : start + size]

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start`, copied."""
        self._check(start, size)
        if self._descriptor is None:
            return bytes(self._data[start : start + size])
        data = os.pread(self._descriptor, size, self._base + start)
        if len(data) != size:
            raise EOFError(f"{len(data):,} of {size:,} bytes from {start:,}")
        return data

    def part(self, start: int, size: int) -> Source:
        """These bytes as a source of their own."""
        return Source(self.view(start, size), self._descriptor, self._base + start)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The file's bytes. Views stay valid afterwards."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield Source(memoryview(b""))
            return
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        source = Source(memoryview(mapping), file.fileno())
        try:
            yield source
        finally:
            source.close()


def unpacked_limit(size: int) -> int:
    """Most bytes that a file of `size` bytes may unpack to."""
    return SLACK + RATIO * size


def numbers_of(data: memoryview, dtype: torch.dtype, numel: int) -> Tensor | Unaligned:
    """The first `numel` numbers in `data`, 1-D; they share its memory where that is writable."""
    size = numel * dtype.itemsize
    if not 0 <= size <= len(data):
        raise EOFError(f"{numel:,} numbers of {dtype} in {len(data):,} bytes")
    if size == 0:
        return torch.empty(0, dtype=dtype)
    if data.readonly:
        data = memoryview(bytearray(data[:size]))
    whole = torch.frombuffer(data, dtype=torch.uint8, count=size)
    return Unaligned(data[:size], dtype) if whole.data_ptr() % dtype.itemsize else whole.view(dtype)


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Of a tensor whose last dimension is the densest."""
    strides = [1]
    for side in reversed(shape[1:]):
        strides.append(strides[-1] * max(side, 1))
    return tuple(reversed(strides)) if shape else ()
