"""Bytes of an image file → a small grey thumbnail. How it is decoded decides bits of the hash: it has a version."""

from __future__ import annotations

import io
import struct

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

TAIL = 1024
"""Bytes at the end in which the end marker must be: some cameras pad after it."""

REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
"""What Pillow may take bytes for. Left to itself it knows forty formats more, one of which is handed to Ghostscript."""

JPEG, PNG = b"\xff\xd8", b"\x89PNG"
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
BARE_MARKERS = {0x01, *range(0xD0, 0xD9)}


def thumbnail(data: bytes) -> Thumbnail:
    """`(64, 64)` grey levels of an image file. Raises CorruptImage as `decode_grey`."""
    return cv2.resize(decode_grey(data), (SIDE, SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def decode_grey(data: bytes) -> NDArray[np.uint8]:
    """`(H, W)` grey levels, a large JPEG at a fraction of its size, turned as EXIF says, the first frame of several.

    16 bits a channel become 8, CMYK grey; transparency is ignored. Raises CorruptImage, whose message is the reason
    alone (`truncated`, ...), for anything that is not a whole image of a sensible size.
    """
    if not data:
        raise CorruptImage("empty")
    _check_end(data)
    return _decode_jpeg(data) if data.startswith(JPEG) else _decode_other(data)


def _decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    size = jpeg_size(data)
    if size is None:
        raise CorruptImage("a JPEG without a frame header")
    _check_size(*size)
    factor = next(f for f in REDUCED if f == 1 or min(size) >= f * LEAST_REDUCED)
    grey = _decode(data, REDUCED[factor])
    return _first_frame(data) if grey is None else grey


def _decode_other(data: bytes) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size)
            several = getattr(image, "n_frames", 1) > 1
    except CorruptImage:
        raise
    except Image.DecompressionBombError as error:
        raise CorruptImage(f"more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow lets through whatever its parsers stumble over
        raise CorruptImage("not an image") from error
    grey = None if several else _decode(data, cv2.IMREAD_GRAYSCALE)
    return _first_frame(data) if grey is None else grey


def _decode(data: bytes, flag: int) -> NDArray[np.uint8] | None:
    """What OpenCV makes of it; None where it cannot decode it."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flag)  # type: ignore[return-value]
    except cv2.error:
        return None


def _first_frame(data: bytes) -> NDArray[np.uint8]:
    """The same through Pillow, for animations and formats that OpenCV does not read."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.seek(0)
            image.info.pop("transparency", None)  # Pillow would warn that it is ignored
            grey = np.asarray(ImageOps.exif_transpose(image).convert("RGB").convert("L"))
    except Exception as error:  # as above
        raise CorruptImage("cannot be decoded") from error
    return grey


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a JPEG's frame header says (ITU-T T.81, B.2.2); None where there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in BARE_MARKERS:
            at += 2
        elif marker in FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise CorruptImage(f"{width}x{height}: more than {MOST_PIXELS:,} pixels")
    if min(width, height) < LEAST_SIDE:
        raise CorruptImage(f"{width}x{height}: fewer than {LEAST_SIDE} pixels a side")


def _check_end(data: bytes) -> None:
    if data.startswith(JPEG) and b"\xff\xd9" not in data[-TAIL:]:
        raise CorruptImage("truncated: a JPEG without its end marker")
    if data.startswith(PNG) and b"IEND" not in data[-TAIL:]:
        raise CorruptImage("truncated: a PNG without its end marker")
