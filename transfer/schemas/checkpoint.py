"""A checkpoint's network and the certificate of its conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from transfer.schemas.mapping import Fields

Range = Literal["0-1", "0-255"]
ChannelOrder = Literal["RGB", "BGR"]


@dataclass(frozen=True, eq=True)
class InputContract(Fields):
    """What the backbone was trained to see.

    A pixel is scaled to `range`, channels are put into `channel_order`, then `(value - mean) / std`
    with `mean` and `std` in the units of `range`.

    `size` is the (height, width) of the position embedding's image in pixels, None where any size fits;
    `patch` the side of a patch in pixels, None for convolutional backbones;
    `source` says who declared it: `file`, `family default`, or `user`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    range: Range = "0-1"
    channel_order: ChannelOrder = "RGB"
    size: tuple[int, int] | None = None
    patch: int | None = None
    source: str = "family default"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InputContract:
        """Inverse of `to_json`."""
        values = dict(data)
        for key in ("mean", "std", "size"):
            if values.get(key) is not None:
                values[key] = tuple(values[key])
        return cls(**values)


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=True)
class BackboneSpec(Fields):
    """A canonical network: enough to build it without the checkpoint.

    `kind` chooses the builder in `transfer.backbones` (`resnet`, `vit`, `swin`, ...); `arch` is the timm-style name for
    people; `options` are the builder's keyword arguments (depths, widths, patch, heads, ...), JSON values only.
    """

    kind: str
    arch: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BackboneSpec:
        """Inverse of `to_json`."""
        return cls(data["kind"], data["arch"], dict(data["options"]))


@dataclass(frozen=True, eq=True)
class Certificate(Fields):
    """What was found in a checkpoint file and what became of every tensor.

    `coverage` is the share of backbone parameters and buffers (by element) filled from the file, 0 to 1; `stages` the
    same for each stage. `dropped` and `initialised` map a tensor's name to the reason; `resized` maps it to what was
    done. `assumptions` are properties of the network that leave no trace in names and shapes, and what they were taken
    for; `health` maps a tensor (`*`: the whole backbone) to what is suspicious about its numbers; `confidence` says how
    sure the input contract is, and `probe` how well batch-norm statistics agree with it and its rivals.
    """

    family: str
    arch: str
    which: str
    coverage: float
    input: InputContract
    dropped: Mapping[str, str]
    initialised: Mapping[str, str]
    resized: Mapping[str, str]
    warnings: tuple[str, ...]
    backbone: BackboneSpec
    checkpoint: str
    sha256: str
    stages: Mapping[str, float] = field(default_factory=dict)
    assumptions: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[str, str] = field(default_factory=dict)
    confidence: str = ""
    probe: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Certificate:
        """Inverse of `to_json`."""
        values = dict(data)
        values["input"] = InputContract.from_json(values["input"])
        values["backbone"] = BackboneSpec.from_json(values["backbone"])
        values["warnings"] = tuple(values["warnings"])
        return cls(**values)
