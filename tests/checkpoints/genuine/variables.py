"""Checkpoints as TensorFlow writes them, and random weights for what is in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tests.checkpoints.genuine.files import Genuine, State
from transfer.checkpoints.reading.tensorflow.crc32c import masked_crc32c

MAGIC = bytes.fromhex("57fb808b247547db")
DTYPES = {torch.float32: 1, torch.int64: 9}
Pack = Callable[[bytes], bytes]


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def block(entries: Mapping[bytes, bytes], pack: Pack | None) -> bytes:
    body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries.items())
    body += bytes(4) + (1).to_bytes(4, "little")
    body = pack(body) + b"\1" if pack else body + b"\0"
    return body + masked_crc32c(body).to_bytes(4, "little")


def write_table(entries: Mapping[bytes, bytes], pack: Pack | None = None) -> bytes:
    """A table of one data block that shares no keys, packed by `pack`."""
    data, meta = block(entries, pack), block({}, None)
    index = block({max(entries): varint(0) + varint(len(data) - 5)}, pack)
    handles = varint(len(data)) + varint(len(meta) - 5) + varint(len(data) + len(meta)) + varint(len(index) - 5)
    return data + meta + index + handles.ljust(40, b"\0") + MAGIC


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def write_bundle(prefix: Path, tensors: Mapping[str, Tensor]) -> Path:
    """`prefix`.index and one shard of data."""
    entries, data = {b"": field(1, 1) + field(3, field(1, 1))}, b""
    for name in sorted(tensors):
        tensor = tensors[name]
        content = tensor.contiguous().numpy().tobytes()
        shape = field(2, b"".join(field(2, field(1, size)) for size in tensor.shape))
        place = field(4, len(data)) + field(5, len(content))
        checksum = b"\x35" + masked_crc32c(content).to_bytes(4, "little")
        entries[name.encode()] = field(1, DTYPES[tensor.dtype]) + shape + place + checksum
        data += content
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(data)
    index = prefix.with_name(prefix.name + ".index")
    index.write_bytes(write_table(entries))
    return index


@dataclass(frozen=True)
class Variables(Genuine):
    """A V2 checkpoint."""

    def write(self, folder: Path) -> Path:
        """Write index and data."""
        return write_bundle(folder / "model.ckpt-100", self.tree)


def drawn(shapes: Iterator[tuple[str, tuple[int, ...]]], seed: int = 0) -> State:
    """Random weights and statistics that make every tensor matter."""
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes:
        if len(shape) > 1:
            state[name] = torch.randn(shape, generator=draw) * (2 / math.prod(shape[1:])) ** 0.5
        elif name.endswith(("running_var", ".weight")):
            state[name] = torch.rand(shape, generator=draw) + 0.5
        else:
            state[name] = torch.randn(shape, generator=draw) * 0.3
    return state


def norm_shapes(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (width,)


def resnet_shapes(
    depths: list[int], widths: list[int], stem: int, *, bottleneck: bool, projection: bool = False
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A ResNet with torchvision's names (He et al., CVPR 2016); `projection`: every first block has a shortcut."""
    yield "conv1.weight", (stem, 3, 7, 7)
    yield from norm_shapes("bn1", stem)
    inputs = stem
    for layer, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        outputs = 4 * width if bottleneck else width
        for unit in range(depth):
            name = f"layer{layer}.{unit}"
            sides = [1, 3, 1] if bottleneck else [3, 3]
            channels = [inputs, width, width, outputs] if bottleneck else [inputs, width, width]
            if unit == 0 and (projection or inputs != outputs):
                yield f"{name}.downsample.0.weight", (outputs, inputs, 1, 1)
                yield from norm_shapes(f"{name}.downsample.1", outputs)
            for number, side in enumerate(sides, 1):
                yield f"{name}.conv{number}.weight", (channels[number], channels[number - 1], side, side)
                yield from norm_shapes(f"{name}.bn{number}", channels[number])
            inputs = outputs


def hwio(state: Mapping[str, Tensor]) -> State:
    """Kernels (height, width, in, out)."""
    return {n: t.permute(2, 3, 1, 0).contiguous() if t.ndim == 4 else t for n, t in state.items()}


PARTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
AVERAGE = "/ExponentialMovingAverage"


def with_average(variables: State, *, statistics: bool = False) -> State:
    """`variables` as the moving average of others; statistics have an average only in some projects."""
    averaged = {n: t for n, t in variables.items() if statistics or "moving_" not in n}
    return {
        **{name: tensor + 1 if name in averaged else tensor for name, tensor in variables.items()},
        **{name + AVERAGE: tensor for name, tensor in averaged.items()},
        **{name + "/Momentum": torch.zeros_like(tensor) for name, tensor in averaged.items()},
    }
