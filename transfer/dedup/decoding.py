"""Decode an image file to a small grey thumbnail. How it is decoded decides bits of the hash: it has a version."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from transfer.errors import CorruptImage

Thumbnail = NDArray[np.uint8]

SIDE = 64
"""Height and width of a thumbnail, whatever the image's shape."""

LEAST_REDUCED = 96
"""Pixels that the shorter side keeps while a JPEG is decoded at a half, a quarter or an eighth of its size.

Against decoding all of it this moves 2 bits of 256 in the median and 14 at most (384 photographs of 145 to 640 pixels).
"""

LEAST_SIDE = 16
"""An image of fewer pixels a side shows nothing that could be told apart."""

MOST_PIXELS = 2**27
"""More are refused before they are decoded: a few kilobytes can claim gigabytes."""

REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
"""Formats that Pillow may take bytes for. It knows forty more, one of which is handed to Ghostscript."""

JPEG, PNG = b"\xff\xd8", b"\x89PNG"
END_OF_JPEG, END_OF_PNG = b"\xff\xd9", b"IEND"
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
BARE_MARKERS = {0x01, *range(0xD0, 0xD9)}


def thumbnail(data: bytes) -> Thumbnail:
    """Return `(64, 64)` grey levels of an image file. Raises CorruptImage as `decode_grey`."""
    return shrink(decode_grey(data))


def shrink(grey: NDArray[np.uint8]) -> Thumbnail:
    """Return `(64, 64)` grey levels of an `(H, W)` grey image."""
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def decode_grey(data: bytes) -> NDArray[np.uint8]:
    """Decode `(H, W)` grey levels: a large JPEG at a fraction of its size, rotated as EXIF says, one frame of several.

    16 bits a channel become 8, CMYK grey; transparency is ignored. Raises CorruptImage, whose message is the reason
    alone (`truncated`, ...), for anything that is not a complete image of a sensible size.
    """
    return _decode(data, _look(data), REDUCED, "L")


def decode_colour(data: bytes) -> NDArray[np.uint8]:
    """Decode `(H, W, 3)` RGB at full size, otherwise as `decode_grey`."""
    return _decode(data, _look(data), {1: cv2.IMREAD_COLOR_RGB}, "RGB")


@dataclass(frozen=True)
class _Header:
    """A file's facts before it is decoded; OpenCV is tried for a `single_frame`, at a fraction if `scalable`."""

    width: int
    height: int
    single_frame: bool
    scalable: bool


def _look(data: bytes) -> _Header:
    """Read the header. Raises CorruptImage for what should not be decoded."""
    if not data:
        raise CorruptImage("empty")
    header = _look_at_jpeg(data) if data.startswith(JPEG) else _look_at_other(data)
    if header.width * header.height > MOST_PIXELS:
        raise CorruptImage(f"{header.width}x{header.height}: more than {MOST_PIXELS:,} pixels")
    if min(header.width, header.height) < LEAST_SIDE:
        raise CorruptImage(f"{header.width}x{header.height}: fewer than {LEAST_SIDE} pixels a side")
    return header


def _look_at_jpeg(data: bytes) -> _Header:
    """Read a JPEG's header.

    The end marker is looked for behind the frame header, so that a thumbnail's does not pass for the image's.
    """
    at = _frame_header(data)
    if at is None:
        raise CorruptImage("a JPEG without a frame header")
    if data.rfind(END_OF_JPEG, at) < 0:  # from the end, where it is
        raise CorruptImage("truncated: a JPEG without its end marker")
    height, width = struct.unpack_from(">HH", data, at + 5)
    return _Header(width, height, single_frame=True, scalable=True)


def _frame_header(data: bytes) -> int | None:
    """Return where a JPEG's frame header begins (ITU-T T.81, B.2.2); None where there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in FRAME_HEADERS:
            return at
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in BARE_MARKERS:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _look_at_other(data: bytes) -> _Header:
    if data.startswith(PNG) and data.rfind(END_OF_PNG) < 0:  # from the end, where it is
        raise CorruptImage("truncated: a PNG without its end marker")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked here
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            return _Header(*image.size, single_frame=getattr(image, "n_frames", 1) == 1, scalable=False)
    except Image.DecompressionBombError as error:
        raise CorruptImage(f"more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow lets through whatever its parsers stumble over
        raise CorruptImage("not an image") from error


def _decode(data: bytes, header: _Header, flags: Mapping[int, int], mode: str) -> NDArray[np.uint8]:
    """Decode with OpenCV at the largest fitting fraction of `flags`, else with Pillow."""
    least = min(header.width, header.height)
    factor = next(each for each in flags if each == 1 or (header.scalable and least >= each * LEAST_REDUCED))
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flags[factor]) if header.single_frame else None
    except cv2.error:
        found = None
    return _first_frame(data, mode) if found is None else found  # type: ignore[return-value]


def _first_frame(data: bytes, mode: str) -> NDArray[np.uint8]:
    """Decode animations, and formats that OpenCV does not read."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.seek(0)
            image.info.pop("transparency", None)  # Pillow would warn that it is ignored
            return np.asarray(_in_8_bits(ImageOps.exif_transpose(image)).convert("RGB").convert(mode))
    except CorruptImage:
        raise
    except Exception as error:  # as above
        raise CorruptImage("cannot be decoded") from error


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Shorten grey levels of 16 bits as OpenCV does it, deeper ones by their own range; Pillow would cut at 255.

    Raises CorruptImage for a level that is no number.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    levels = np.asarray(image)
    low, high = float(levels.min()), float(levels.max())
    if not np.isfinite([low, high]).all():
        raise CorruptImage("grey levels that are no numbers")
    if image.mode == "F" or low < 0 or high >= 2**16:
        levels = (levels - low) * (255 / max(high - low, 1e-9))
    elif image.mode != "I" or high > 255:
        levels = levels // 256
    return Image.fromarray(levels.astype(np.uint8))
