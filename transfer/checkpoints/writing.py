"""Writing safetensors one tensor at a time: memory holds the largest, not the file.

Format: 8 bytes little-endian length, that many bytes of JSON (name → dtype, shape, data_offsets), the tensors' bytes
(github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from transfer.errors import BadOption

# fmt: off
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}
# fmt: on
ALIGNMENT = 8


@dataclass(frozen=True)
class Entry:
    """A tensor to be written: `load()` is called once, when its turn comes."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.dtype.itemsize * torch.Size(self.shape).numel()


def entry_of(tensor: Tensor) -> Entry:
    """A tensor that exists already."""
    return Entry(tuple(tensor.shape), tensor.dtype, lambda: tensor)


def write_safetensors(path: Path, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    """Write `entries` in order. Raises BadOption for a dtype that the format lacks."""
    header = _header(entries, metadata)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for name, entry in entries.items():
            file.write(_bytes(entry.load(), entry, name))


def _header(entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    tensors = {
        name: {"dtype": _dtype(name, entry.dtype), "shape": list(entry.shape), "data_offsets": list(place)}
        for (name, entry), place in zip(entries.items(), _places(entries.values()), strict=True)
    }
    text = json.dumps({"__metadata__": dict(metadata), **tensors}, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % ALIGNMENT)


def _dtype(name: str, dtype: torch.dtype) -> str:
    if dtype not in DTYPES:
        raise BadOption(f"{name} holds {dtype}, which safetensors has no name for. Cast it to float32 first.")
    return DTYPES[dtype]


def _places(entries: Iterable[Entry]) -> Iterator[tuple[int, int]]:
    start = 0
    for entry in entries:
        yield start, start + entry.size
        start += entry.size


def _bytes(tensor: Tensor, entry: Entry, name: str) -> memoryview:
    if tuple(tensor.shape) != entry.shape or tensor.dtype != entry.dtype:
        raise BadOption(
            f"{name} should be {entry.dtype} {entry.shape}, but came as {tensor.dtype} {tuple(tensor.shape)}."
        )
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data
