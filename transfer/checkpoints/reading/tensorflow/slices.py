"""Parts of partitioned variables: where they belong, and the keys they are stored under.

The keys are OrderedCode (tensorflow/core/lib/strings/ordered_code.cc): 0, the variable's name, the number of
dimensions, and start and length of the part along each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from transfer.checkpoints.reading.tensorflow.protobuf import Message
from transfer.errors import UnreadableCheckpoint

Extent = tuple[int, int]
"""Start and length along one dimension; length -1 is all of it."""

LARGEST = 1 << 62
MOST_DIMENSIONS = 32


def shape_of(message: Message) -> tuple[int, ...]:
    """Read a TensorShapeProto. Raises UnreadableCheckpoint for unknown or impossible sizes."""
    shape = tuple(dimension.signed(1) for dimension in message.messages(2))
    possible = len(shape) <= MOST_DIMENSIONS and math.prod(max(size, 1) for size in shape) < LARGEST
    if message.integer(3) or not possible or min(shape, default=0) < 0:
        raise UnreadableCheckpoint(f"a tensor has the impossible shape {shape[:MOST_DIMENSIONS]}")
    return shape


def extents_of(message: Message) -> tuple[Extent, ...]:
    """Read a TensorSliceProto."""
    return tuple((extent.signed(1), extent.signed(2, -1)) for extent in message.messages(1))


def sizes_of(extents: Sequence[Extent], shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a part of a tensor of `shape`. Raises UnreadableCheckpoint for a part beyond it."""
    sizes = tuple(size if length == -1 else length for (_, length), size in zip(extents, shape, strict=False))
    beyond = (
        start < 0 or length < 0 or start + length > size
        for (start, _), length, size in zip(extents, sizes, shape, strict=False)
    )
    if len(extents) != len(shape) or any(beyond):
        raise UnreadableCheckpoint(f"a part (start, length) {tuple(extents)} is outside of the shape {tuple(shape)}")
    return sizes


def key_of(name: str, extents: Sequence[Extent]) -> bytes:
    """Return the key of a part."""
    text = name.encode().replace(b"\x00", b"\x00\xff") + b"\x00\x01"
    count = len(extents).to_bytes(1, "big") if extents else b""
    numbers = b"".join(_signed(number) for extent in extents for number in extent)
    return b"\x00" + text + len(count).to_bytes(1, "big") + count + numbers


def _signed(number: int) -> bytes:
    """Encode two's complement in as few bytes as leave space for a unary count of the bytes in front, and the sign."""
    bits = (number if number >= 0 else ~number).bit_length()
    size = bits // 7 + 1
    header = ((1 << size) - 1) << 7 * size
    return (header ^ number & (1 << 8 * size) - 1).to_bytes(size, "big")


def assembled(
    name: str,
    shape: tuple[int, ...],
    parts: Sequence[tuple[Extent, ...]],
    part: Callable[[bytes, tuple[int, ...]], Tensor],
) -> Tensor:
    """Assemble a variable; `part` gives the tensor under a key, of a shape. Raises UnreadableCheckpoint."""
    sizes = [sizes_of(extents, shape) for extents in parts]
    if not sizes or sum(math.prod(size) for size in sizes) != math.prod(shape):
        raise UnreadableCheckpoint(f"the parts of {name} do not make up its shape {shape}")
    tensors = [part(key_of(name, extents), size) for extents, size in zip(parts, sizes, strict=True)]
    if len(tensors) == 1:
        return tensors[0]
    tensor = torch.empty(shape, dtype=tensors[0].dtype)
    filled = torch.zeros(shape, dtype=torch.bool)
    for extents, values in zip(parts, tensors, strict=True):
        where = tuple(slice(start, start + size) for (start, _), size in zip(extents, values.shape, strict=True))
        tensor[where], filled[where] = values, True
    if not filled.all():
        raise UnreadableCheckpoint(f"the parts of {name} overlap")
    return tensor
