"""Write safetensors one tensor at a time: memory holds the largest tensor, not the file.

Format: 8 bytes little-endian length, that many bytes of JSON (name → dtype, shape, data_offsets), the tensors' bytes
(github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transfer.errors import Inexpressible

# fmt: off
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}
# fmt: on
ALIGNMENT = 8
METADATA = "__metadata__"
STEP = 2**26
"""Bytes after which the disk is told to begin."""


@dataclass(frozen=True)
class Entry:
    """A tensor to be written: `load()` is called once, when its turn comes."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.dtype.itemsize * torch.Size(self.shape).numel()


def write_safetensors(path: Path, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    """Write `entries` in order. Raises Inexpressible for a dtype that the format lacks."""
    tensors = {
        name: {"dtype": _dtype(name, entry.dtype), "shape": list(entry.shape), "data_offsets": list(place)}
        for (name, entry), place in zip(entries.items(), _places(entries.values()), strict=True)
    }
    with path.open("wb") as file, ThreadPoolExecutor(1) as flusher:
        file.write(_header(tensors, metadata))
        written, flushing = 0, None
        for name, entry in entries.items():
            written += file.write(_bytes(entry.load(), entry, name))
            if written > STEP and (flushing is None or flushing.done()):
                # the disk works while the next tensors are read: whoever flushes the file later waits less
                written, flushing = 0, flusher.submit(os.fdatasync, file.fileno())


def replace_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Write other metadata of the same length into a file of `write_safetensors`, else raise ValueError."""
    with path.open("rb+") as file:
        size = int.from_bytes(file.read(8), "little")
        tensors = json.loads(file.read(size).decode("utf-8"))
        header = _header({name: tensor for name, tensor in tensors.items() if name != METADATA}, metadata)
        if len(header) != 8 + size:
            raise ValueError(f"metadata in {path.name} can only be replaced by some of the same length")
        file.seek(0)
        file.write(header)


def _header(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    text = json.dumps({METADATA: dict(metadata), **tensors}, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _dtype(name: str, dtype: torch.dtype) -> str:
    if dtype not in DTYPES:
        raise Inexpressible(f"{name} holds {dtype}, which safetensors has no name for. Cast it to float32 first.")
    return DTYPES[dtype]


def _places(entries: Iterable[Entry]) -> Iterator[tuple[int, int]]:
    start = 0
    for entry in entries:
        yield start, start + entry.size
        start += entry.size


def _bytes(tensor: Tensor, entry: Entry, name: str) -> memoryview:
    if tuple(tensor.shape) != entry.shape or tensor.dtype != entry.dtype:
        raise ValueError(
            f"{name} should be {entry.dtype} {entry.shape}, but came as {tensor.dtype} {tuple(tensor.shape)}"
        )
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data
