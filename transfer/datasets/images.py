"""What the bytes of an image file say, without decoding a photograph."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transfer.errors import BadOption, CorruptImage

TAIL = 1024
"""Bytes at the end in which the end marker must be: some cameras pad after it."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")

END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


@dataclass(frozen=True)
class ImageFacts:
    """SHA-256 of the bytes, (width, height) in pixels, and for a label map the values that occur in it."""

    sha256: str
    size: tuple[int, int]
    labels: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ImageFacts:
        """Inverse of `to_json`."""
        return cls(str(data["sha256"]), (int(data["size"][0]), int(data["size"][1])), tuple(data["labels"]))


def image_facts(path: Path) -> ImageFacts:
    """Read the file once and check its header and end.

    Raises CorruptImage, naming the file, when it is empty, no image, or truncated.
    """
    data = path.read_bytes()
    with _opened(data, path) as image:
        _check_end(data, image.format or "", path)
        return ImageFacts(hashlib.sha256(data).hexdigest(), image.size)


def label_map_facts(path: Path) -> ImageFacts:
    """As `image_facts`, and decode the label values. Raises CorruptImage also where pixels cannot be decoded."""
    data = path.read_bytes()
    with _opened(data, path) as image:
        _check_end(data, image.format or "", path)
        if len(image.getbands()) != 1:
            raise CorruptImage(f"{path}: a label map has one channel of class numbers; this one is {image.mode}.")
        values = np.unique(_pixels(image, path))
    return ImageFacts(hashlib.sha256(data).hexdigest(), image.size, tuple(int(value) for value in values))


def derived_map_facts(path: Path) -> ImageFacts:
    """As `label_map_facts`, but the SHA-256 is that of the pixels: equal labels are equal, whoever encoded them."""
    facts = label_map_facts(path)
    with Image.open(path) as image:
        return replace(facts, sha256=hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest())


def find_image(folder: Path, stem: str) -> Path:
    """The image called `stem` in any known format; the .jpg, which a report then names, when there is none."""
    candidates = [folder / f"{stem}{suffix}" for suffix in IMAGE_SUFFIXES]
    return next((path for path in candidates if path.exists()), candidates[0])


def suffix_of(images: Iterable[Path]) -> str:
    """Return the suffix that all images that exist. Raises BadOption where they have several: they are read by one."""
    suffixes = sorted({path.suffix for path in images if path.exists()})
    if len(suffixes) > 1:
        raise BadOption(
            f"images with label maps must all have one suffix, found {', '.join(suffixes)}. Rename or convert them."
        )
    return suffixes[0] if suffixes else IMAGE_SUFFIXES[0]


def _opened(data: bytes, path: Path) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        state = "is empty" if not data else "is not an image that Pillow can open"
        raise CorruptImage(f"{path} {state}.") from error


def _pixels(image: Image.Image, path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        return np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise CorruptImage(f"{path} cannot be decoded: {error}.") from error


def _check_end(data: bytes, format: str, path: Path) -> None:
    marker = END_MARKERS.get(format)
    if marker is not None and marker not in data[-TAIL:]:
        raise CorruptImage(f"{path} is truncated: its {format} end marker is missing ({len(data)} bytes).")
