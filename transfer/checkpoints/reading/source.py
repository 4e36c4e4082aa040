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
"""A file may unpack to at most RATIO times its size plus SLACK bytes."""


class Source:
    """Bytes of a file, or of a part of one. Reading beyond them raises EOFError.

    `read` copies, through the file descriptor, so that the mapping's pages stay untouched; `view` maps.
    """

    def __init__(self, data: memoryview, descriptor: int | None = None, base: int = 0) -> None:
        self._data, self._descriptor, self._base = data, descriptor, base

    def __len__(self) -> int:
        return len(self._data)

    def close(self) -> None:
        """Read from the mapping, too, from now on."""
        self._descriptor = None

    def _check(self, start: int, size: int) -> None:
        if start < 0 or size < 0 or start + size > len(self):
            raise EOFError(f"bytes {start:,} to {start + size:,} of {len(self):,}")

    def view(self, start: int, size: int) -> memoryview:
        """Return `size` bytes from `start`, mapped, writable without effect on the file."""
        self._check(start, size)
        return self._data[start : start + size]

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start`, copied."""
        self._check(start, size)
        if self._descriptor is None:
            return bytes(self._data[start : start + size])
        data = os.pread(self._descriptor, size, self._base + start)
        if len(data) != size:
            raise EOFError(f"{len(data):,} of {size:,} bytes from {start:,}")
        return data

    def part(self, start: int, size: int) -> Source:
        """Return these bytes as a source of their own."""
        return Source(self.view(start, size), self._descriptor, self._base + start)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a file as a source. Views stay valid afterwards."""
    with path.open("rb") as file:
        source = Source(_mapped(file.fileno()), file.fileno())
        try:
            yield source
        finally:
            source.close()


def map_file(path: Path) -> memoryview:
    """Map a file's bytes into memory; they are read when they are used, and changes to them stay in memory."""
    with path.open("rb") as file:
        return _mapped(file.fileno())


def _mapped(descriptor: int) -> memoryview:
    # ACCESS_COPY: torch asks for writable memory, and writing to a tensor must not change the user's file.
    # The view keeps the mapping alive after the descriptor is closed. An empty file cannot be mapped.
    empty = os.fstat(descriptor).st_size == 0
    return memoryview(b"" if empty else mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))


def unpacked_limit(size: int) -> int:
    """Return the most bytes that a file of `size` bytes may unpack to."""
    return SLACK + RATIO * size


def values_of(data: memoryview, dtype: torch.dtype, numel: int) -> Tensor | Unaligned:
    """Return the first `numel` values in `data`, 1-D; they share its memory where that is writable."""
    size = numel * dtype.itemsize
    if not 0 <= size <= len(data):
        raise EOFError(f"{numel:,} numbers of {dtype} in {len(data):,} bytes")
    if size == 0:
        return torch.empty(0, dtype=dtype)
    if data.readonly:
        data = memoryview(bytearray(data[:size]))
    raw = torch.frombuffer(data, dtype=torch.uint8, count=size)
    return Unaligned(data[:size], dtype) if raw.data_ptr() % dtype.itemsize else raw.view(dtype)


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a tensor whose last dimension is the densest."""
    strides = [1]
    for side in reversed(shape[1:]):
        strides.append(strides[-1] * max(side, 1))
    return tuple(reversed(strides)) if shape else ()
