"""Read safetensors: a JSON header of names, types, shapes and places, then the values, mapped on demand.

Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from transfer.checkpoints.reading.source import Source, opened, strides_of, values_of

LONGEST_HEADER = 2**24
MOST_DIMENSIONS = 64
METADATA = "__metadata__"

TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U64": torch.uint64, "U32": torch.uint32,
    "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2, "C64": torch.complex64,
}  # fmt: skip


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors by name, and the file's metadata. Raises OSError or SafetensorError."""
    with opened(path) as source:
        return tensors_in(source)


def tensors_in(source: Source) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors by name, and metadata. Raises SafetensorError where header and file contradict each other."""
    header, start = _header(source)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise SafetensorError("its metadata are not texts by name")
    places = sorted((_place(name, value), name) for name, value in header.items())
    ends = [0, *(end for (_, end), _ in places)]
    if [begin for (begin, _), _ in places] != ends[:-1] or ends[-1] != len(source) - start:
        raise SafetensorError(f"its tensors should fill {len(source) - start:,} bytes without gaps or overlaps")
    return {name: _tensor(source, start, value) for name, value in header.items()}, metadata


def _header(source: Source) -> tuple[dict[str, Any], int]:
    if len(source) < 8:
        raise SafetensorError("it has no header")
    length = int.from_bytes(source.read(0, 8), "little")
    if not 2 <= length <= min(LONGEST_HEADER, len(source) - 8):
        raise SafetensorError(f"its header should have {length:,} bytes: the file is cut, or no weights need so many")
    try:
        header = json.loads(source.read(8, length).decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise SafetensorError(f"its header is not valid JSON ({error!s:.100})") from error
    if not isinstance(header, dict):
        raise SafetensorError("its header is no dictionary")
    return header, 8 + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands there twice")
    return names


def _place(name: str, value: Any) -> tuple[int, int]:
    """Return begin and end behind the header, which must agree with type and shape."""
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise SafetensorError(f"{name:.80} has no type, shape and place")
    dtype, shape, offsets = TYPES.get(str(value["dtype"])), value["shape"], value["data_offsets"]
    if dtype is None:
        raise SafetensorError(f"{name:.80} is of type {value['dtype']!r:.20}, which torch does not know")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2 or len(shape) > MOST_DIMENSIONS:
        raise SafetensorError(f"{name:.80} has no shape and place in integers")
    if math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        raise SafetensorError(f"{name:.80} of shape {shape!s:.80} has {offsets[1] - offsets[0]:,} bytes")
    return offsets[0], offsets[1]


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _tensor(source: Source, start: int, value: Mapping[str, Any]) -> Tensor:
    (begin, end), shape, dtype = value["data_offsets"], value["shape"], TYPES[value["dtype"]]
    return values_of(source.view(start + begin, end - begin), dtype, math.prod(shape)).as_strided(
        shape, strides_of(shape), 0
    )
