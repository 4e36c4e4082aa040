"""Copy-detection descriptors next to the hash: a TorchScript file such as SSCD's, or any backbone that converts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from transfer.checkpoints.loading import load_backbone
from transfer.checkpoints.reading.torchscript import is_script, load_script
from transfer.dedup.decoding import decode_colour, decode_grey
from transfer.errors import BadOption, CorruptImage, UnreadableCheckpoint
from transfer.files.fingerprint import file_sha256
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

SCRIPT_SIDE, BACKBONE_SIDE = 320, 224
"""Height and width that images are stretched to, pixels: SSCD's recommendation for batches, and the usual one."""

POWER = 3.0
"""Exponent of the generalised mean over positions (Radenović et al., TPAMI 2019)."""


@dataclass(frozen=True)
class Descriptor:
    """A function from bytes of images to (N, D) float16 of length 1.

    It is the network in `path`, which each process loads once.
    """

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Descriptor:
        """Load the descriptor of a file. Raises UnreadableCheckpoint or UnsafeCheckpoint."""
        if not path.is_file():
            raise UnreadableCheckpoint(f"there is no file {path}. Name a TorchScript file or a checkpoint.")
        found = cls(path.resolve(), file_sha256(path))
        _network(found)
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """The descriptor as an index names it: those of different networks are never compared."""
        return {"name": self.path.name, "sha256": self.sha256}

    def check_same(self, other: Mapping[str, Any] | None, index: Path) -> None:
        """Raise BadOption where an index was described by `other` and not by this network."""
        if other is None or other["sha256"] != self.sha256:
            was = f"described by {other['name']} ({other['sha256'][:12]})" if other else "made without a descriptor"
            raise BadOption(f"{index} was {was}, not by {self.path.name}. Name the same file, or index again.")

    def __call__(self, images: Sequence[bytes]) -> NDArray[np.float16]:
        """Describe encoded images."""
        network, contract, side = _network(self)
        batch = torch.stack([_tensor(data, contract, side) for data in images])
        with torch.inference_mode():
            described = network(batch)
        if not isinstance(described, Tensor) or len(described) != len(images):
            raise UnreadableCheckpoint(f"{self.path}: expected one descriptor for each image, got {type(described)}.")
        return functional.normalize(described.float().flatten(1)).to(torch.float16).numpy()


@lru_cache(maxsize=1)
def _network(descriptor: Descriptor) -> tuple[Callable[[Tensor], Tensor], InputContract, int]:
    if is_script(descriptor.path):
        return load_script(descriptor.path), InputContract(IMAGENET_MEAN, IMAGENET_STD), SCRIPT_SIDE
    backbone, certificate = load_backbone(descriptor.path)
    side = certificate.input.size[0] if certificate.input.size else BACKBONE_SIDE
    return _Pooled(backbone.eval()), certificate.input, side


class _Pooled:
    """A network that returns the generalised mean over the positions of a backbone's last level."""

    def __init__(self, backbone: Callable[[Tensor], Sequence[Tensor]]) -> None:
        self.network = backbone

    def __call__(self, images: Tensor) -> Tensor:
        level = self.network(images)[-1].clamp(min=1e-6)
        return level.pow(POWER).mean(dim=(2, 3)).pow(1 / POWER)


def _tensor(data: bytes, contract: InputContract, side: int) -> Tensor:
    """Return (3, side, side), as the network was trained to see images."""
    pixels = torch.from_numpy(_square(data, side).astype(np.float32)).permute(2, 0, 1)
    if contract.channel_order == "BGR":
        pixels = pixels.flip(0)
    scaled = pixels / 255 if contract.range == "0-1" else pixels
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (contract.mean, contract.std))
    return (scaled - mean) / std


def _square(data: bytes, side: int) -> NDArray[np.uint8]:
    """Return (side, side, 3) RGB; grey where a damaged image decodes no better."""
    try:
        pixels = decode_colour(data)
    except CorruptImage:
        pixels = np.repeat(decode_grey(data)[..., None], 3, axis=2)
    way = cv2.INTER_AREA if min(pixels.shape[:2]) > side else cv2.INTER_LINEAR
    return cv2.resize(pixels, (side, side), interpolation=way)  # type: ignore[return-value]
