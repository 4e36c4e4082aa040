from __future__ import annotations

import resource
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.dedup.conftest import TURNS, encode, picture
from transfer.dedup.decoding import decode_colour, decode_grey, thumbnail
from transfer.errors import CorruptImage

SMALL = picture(0, 48, 64)
RGB = Image.fromarray(SMALL)
OTHER = Image.fromarray(picture(1, 48, 64))
GREY = RGB.convert("L")
LEVELS = np.asarray(GREY)
DEEP = Image.fromarray(np.asarray(GREY, np.uint16) * 257)
ANIMATED = {"save_all": True, "append_images": [OTHER]}

WHOLE = {
    "JPEG": encode(RGB, quality=95),
    "progressive JPEG": encode(RGB, quality=95, progressive=True),
    "grey JPEG": encode(GREY, quality=95),
    "CMYK JPEG": encode(RGB.convert("CMYK"), quality=95),
    "PNG": encode(RGB, "PNG"),
    "grey PNG": encode(GREY, "PNG"),
    "PNG of 16 bits": encode(DEEP, "PNG"),
    "PNG with alpha": encode(RGB.convert("RGBA"), "PNG"),
    "grey PNG with alpha": encode(RGB.convert("LA"), "PNG"),
    "PNG with a palette": encode(RGB.quantize(256), "PNG"),
    "PNG with a transparent palette": encode(RGB.quantize(256), "PNG", transparency=bytes(range(256))),
    "animated PNG": encode(RGB, "PNG", **ANIMATED),
    "GIF": encode(RGB.quantize(256), "GIF"),
    "animated GIF": encode(RGB.quantize(256), "GIF", save_all=True, append_images=[OTHER.quantize(256)]),
    "WebP": encode(RGB, "WEBP", quality=95),
    "animated WebP": encode(RGB, "WEBP", quality=95, **ANIMATED),
    "TIFF": encode(RGB, "TIFF"),
    "compressed TIFF": encode(RGB, "TIFF", compression="tiff_lzw"),
    "TIFF of two pages": encode(RGB, "TIFF", **ANIMATED),
    "TIFF of 16 bits": encode(DEEP, "TIFF"),
    "TIFF of 16 bits and two pages": encode(DEEP, "TIFF", save_all=True, append_images=[DEEP]),
    "BMP": encode(RGB, "BMP"),
    "AVIF": encode(RGB, "AVIF", quality=95),
}
REFERENCE = thumbnail(encode(GREY, "PNG"))


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Mean difference, grey levels."""
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


@pytest.mark.parametrize("kind", WHOLE)
def test_every_kind_of_file_shows_the_same_and_nothing_is_printed(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = thumbnail(WHOLE[kind])
    assert (found.shape, found.dtype) == ((64, 64), np.uint8)
    assert apart(found, REFERENCE) < 5  # a palette costs most
    assert apart(found, thumbnail(encode(OTHER, "PNG"))) > 25
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("kind", "side"), [("PNG", 60), ("TIFF", 60), ("WEBP", 60), ("JPEG", 60), ("JPEG", 192)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(kind: str, side: int, orientation: int) -> None:
    """The larger one is decoded at half its size."""
    pixels = picture(2, side, side * 3 // 2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = TURNS[(0, 1, 3, 2, 4, 5, 7, 6)[orientation - 1]](pixels)  # TIFF 6.0, tag 274
    expected = decode_grey(encode(upright, "PNG"))
    found = decode_grey(encode(pixels, kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {})))
    assert (found.shape[0] > found.shape[1]) == (orientation > 4)
    assert apart(thumbnail(encode(found, "PNG")), thumbnail(encode(expected, "PNG"))) < 3


@pytest.mark.parametrize(("side", "kept"), [(90, 90), (191, 191), (192, 96), (384, 96), (768, 96), (800, 100)])
def test_a_jpeg_is_decoded_no_larger_than_needed(side: int, kept: int) -> None:
    pixels = picture(3, side, side)
    grey = decode_grey(encode(pixels, quality=95))
    assert grey.shape == (kept, kept)
    assert apart(thumbnail(encode(grey, "PNG")), thumbnail(encode(pixels, "PNG"))) < 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"# Readme\n\nNot an image.\n", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n%%EOF\n", "not an image"),
        (b"\xff\xd8\xff\xd9", "without a frame header"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (encode(picture(0, 15, 100), "PNG"), "100x15: fewer than 16 pixels a side"),
        (encode(picture(0, 100, 8)), "8x100: fewer than 16 pixels a side"),
        (encode(picture(0, 15, 15), "GIF"), "15x15: fewer than 16 pixels a side"),
    ],
    ids=["empty", "text", "postscript", "no frame", "no header", "low", "narrow", "small"],
)
def test_what_is_no_image_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(CorruptImage, match=reason):
        thumbnail(data)


def claiming(kind: str, side: int) -> bytes:
    """A small file whose header says that it is `side` pixels wide and high."""
    data = bytearray(WHOLE[kind])
    if kind == "PNG":
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_claim_of_billions_of_pixels_is_refused_before_memory_is_taken(kind: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptImage, match="more than 134,217,728 pixels"):
        thumbnail(claiming(kind, 60_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("side", [0, 1])
def test_sizes_that_no_image_has(kind: str, side: int) -> None:
    with pytest.raises(CorruptImage):
        thumbnail(claiming(kind, side))


def test_a_jpeg_is_read_past_comments_and_fill_bytes() -> None:
    data = WHOLE["JPEG"]
    padded = data[:2] + b"\xff\xfe\x00\x06\xff\xc0ab\xff\xff" + data[2:]
    assert (thumbnail(padded) == thumbnail(data)).all()
    with pytest.raises(CorruptImage, match="without a frame header"):
        thumbnail(data[:20])


def test_what_follows_a_jpeg_does_not_matter_and_a_thumbnails_end_is_not_its_end() -> None:
    """Motion photographs carry a film behind the picture, and EXIF a whole JPEG before it."""
    data = WHOLE["JPEG"]
    assert (thumbnail(data + bytes(1 << 20)) == thumbnail(data)).all()
    inner = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    assert (thumbnail(data[:2] + inner + data[2:]) == thumbnail(data)).all()
    with pytest.raises(CorruptImage, match="truncated"):
        thumbnail(data[:2] + inner + data[2:-40])


def test_what_follows_a_png_does_not_matter() -> None:
    data = WHOLE["PNG"]
    assert (thumbnail(data + bytes(1 << 20)) == thumbnail(data)).all()
    with pytest.raises(CorruptImage, match="truncated"):
        thumbnail(data[:-12] + bytes(1 << 20))


def two_pages(image: Image.Image) -> bytes:
    """A TIFF file."""
    return encode(image, "TIFF", save_all=True, append_images=[image])


@pytest.mark.parametrize("kind", ["I;16", "I;16B"])
def test_the_first_page_of_16_bits_is_read_as_a_single_one(kind: str) -> None:
    levels = picture(5, 48, 64)[..., 0].astype(">u2" if kind == "I;16B" else "<u2") * 201 + 7
    image = Image.frombytes(kind, (64, 48), levels.tobytes())
    found, single = decode_grey(two_pages(image)).astype(int), decode_grey(encode(image, "TIFF")).astype(int)
    assert np.ptp(found) > 150 and np.abs(found - single).max() <= 1


@pytest.mark.parametrize(
    ("levels", "shown"),
    [
        (LEVELS.astype(np.int32), LEVELS),
        (LEVELS.astype(np.int32) * 257, LEVELS),
        ((LEVELS.astype(np.int32) - 128) << 20, None),
        (LEVELS.astype(np.float32) / 100 - 3, None),
    ],
    ids=["8 of 32 bits", "16 of 32 bits", "32 bits", "float"],
)
def test_deeper_grey_levels_are_neither_black_nor_white(levels: np.ndarray, shown: np.ndarray | None) -> None:
    """If 16 bits do not hold them they are stretched to their own range."""
    low, high = int(LEVELS.min()), int(LEVELS.max())
    stretched = (LEVELS.astype(float) - low) * 255 / (high - low)
    expected = stretched if shown is None else shown.astype(float)
    assert np.abs(decode_grey(two_pages(Image.fromarray(levels))) - expected).max() <= 1


def test_levels_that_are_no_numbers_are_refused() -> None:
    levels = np.full((32, 32), np.nan, np.float32)
    with pytest.raises(CorruptImage, match="no numbers"):
        decode_grey(two_pages(Image.fromarray(levels)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_colours_are_those_that_pillow_sees(kind: str) -> None:
    shown = picture(2, 64, 48)
    found = decode_colour(encode(shown, kind)).astype(int)
    assert found.shape == shown.shape
    assert np.abs(found - shown.astype(int)).mean() < 12


LARGE = {"JPEG": encode(picture(4, 90, 120)), "PNG": encode(picture(4, 90, 120), "PNG")}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(LARGE)), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_truncated(kind: str, share: float) -> None:
    data = LARGE[kind][: int(share * (len(LARGE[kind]) - 4))]  # the last four bytes of a PNG are a checksum of nothing
    with pytest.raises(CorruptImage, match=r"empty|truncated|not an image|without a frame header"):
        thumbnail(data)


def test_a_cut_file_says_nothing_beside_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    for data in LARGE.values():
        with pytest.raises(CorruptImage, match="truncated"):
            thumbnail(data[: len(data) // 2])
    assert capfd.readouterr() == ("", "")


def thumbnail_or_reason(data: bytes) -> None:
    try:
        found = thumbnail(data)
    except CorruptImage as reason:
        assert str(reason)
    else:
        assert (found.shape, found.dtype) == ((64, 64), np.uint8)


STARTS = [b"", *(data[:length] for data in WHOLE.values() for length in (4, 40))]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd9", b"IEND"]))
def test_random_bytes_are_an_image_or_corrupt(start: bytes, middle: bytes, end: bytes) -> None:
    thumbnail_or_reason(start + middle + end)


CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(["JPEG", "progressive JPEG"]), CHANGES)
def test_a_damaged_jpeg_is_an_image_or_corrupt(kind: str, changes: list[tuple[float, int]]) -> None:
    thumbnail_or_reason(damaged(WHOLE[kind], changes))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(set(WHOLE) - {"JPEG", "progressive JPEG"})), CHANGES, st.booleans())
def test_any_damaged_file_is_an_image_or_corrupt(kind: str, changes: list[tuple[float, int]], early: bool) -> None:
    data = WHOLE[kind]
    here = [(share * (60 / len(data) if early else 1), byte) for share, byte in changes]
    thumbnail_or_reason(damaged(data, here))


def damaged(data: bytes, changes: list[tuple[float, int]]) -> bytes:
    found = bytearray(data)
    for share, byte in changes:
        found[int(share * (len(data) - 1))] = byte
    return bytes(found)
