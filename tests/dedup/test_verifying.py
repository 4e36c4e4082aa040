from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.dedup.conftest import TURNS, Pixels, encode, picture
from transfer.dedup.hashing import INVERSE, TRANSFORMS
from transfer.dedup.verifying import SAME, apply_transform, similarity
from transfer.errors import CorruptImage

PICTURE = picture(1, 240, 320)
ORIGINAL = encode(PICTURE, quality=95)


def cropped(pixels: Pixels) -> Pixels:
    """5 % less on every side."""
    height, width, _ = pixels.shape
    return pixels[height // 20 : -height // 20, width // 20 : -width // 20]


def rotated(pixels: Pixels) -> Pixels:
    """By two degrees, the corners black."""
    height, width, _ = pixels.shape
    place = cv2.getRotationMatrix2D((width / 2, height / 2), 2, 1)
    return np.asarray(cv2.warpAffine(pixels, place, (width, height)), np.uint8)


def written_over(pixels: Pixels) -> Pixels:
    copy = pixels.copy()
    for at, text in enumerate(("A CAPTION", "below it")):
        cv2.putText(copy, text, (20, 60 + 90 * at), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 4)
    return copy


def brighter(pixels: Pixels) -> Pixels:
    return np.clip(pixels.astype(np.float32) * 1.2 + 20, 0, 255).astype(np.uint8)


def smaller(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.resize(pixels, (150, 120), interpolation=cv2.INTER_AREA), np.uint8)


def stretched(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.resize(pixels, (300, 300), interpolation=cv2.INTER_AREA), np.uint8)


COPIES = (cropped, rotated, written_over, brighter, smaller, stretched)


@pytest.mark.parametrize("change", COPIES)
@pytest.mark.parametrize("quality", [90, 30])
def test_copies_are_the_same(change: Callable[[Pixels], Pixels], quality: int) -> None:
    copy = encode(change(PICTURE), quality=quality)
    assert similarity(copy, ORIGINAL) >= SAME
    assert similarity(ORIGINAL, copy) >= SAME


def test_unrelated_pictures_are_not() -> None:
    files = [encode(picture(seed, 90, 120)) for seed in range(5)]
    assert max(similarity(*pair) for pair in itertools.combinations(files, 2)) < 0.6


def test_nor_are_two_pictures_behind_one_overlay() -> None:
    files = [encode(written_over(picture(seed, 240, 320))) for seed in (1, 2)]
    assert similarity(*files) < 0.6


@pytest.mark.parametrize("number", range(8))
def test_every_transform_is_undone(number: int) -> None:
    turned = encode(np.ascontiguousarray(TURNS[number](PICTURE)), quality=80)
    assert similarity(ORIGINAL, turned, TRANSFORMS[number]) >= SAME
    assert similarity(turned, ORIGINAL, TRANSFORMS[INVERSE[number]]) >= SAME


@pytest.mark.parametrize("number", range(8))
def test_turning_is_what_hashes_mean_by_it(number: int) -> None:
    grey = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(apply_transform(grey, TRANSFORMS[number]), TURNS[number](grey))


def test_equal_files_are_the_same_and_the_answer_is_always_the_same() -> None:
    assert similarity(ORIGINAL, ORIGINAL) == pytest.approx(1)
    copy = encode(rotated(PICTURE))
    assert len({similarity(copy, ORIGINAL) for _ in range(3)}) == 1


def test_exif_turns_before_comparing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    lying = encode(np.ascontiguousarray(np.rot90(PICTURE, 1)), exif=exif)
    assert similarity(lying, ORIGINAL) >= SAME


@pytest.mark.parametrize("other", [np.zeros((80, 90, 3), np.uint8), np.full((64, 64, 3), 200, np.uint8)])
def test_pictures_of_nothing_have_nothing_in_common(other: Pixels) -> None:
    flat = encode(other)
    assert similarity(flat, flat) == similarity(flat, ORIGINAL) == similarity(ORIGINAL, flat) == 0


@pytest.mark.parametrize("broken", [b"", b"text", ORIGINAL[:300]], ids=["empty", "text", "cut"])
def test_what_cannot_be_decoded(broken: bytes) -> None:
    for pair in ((broken, ORIGINAL), (ORIGINAL, broken)):
        with pytest.raises(CorruptImage):
            similarity(*pair)


SIDES = st.sampled_from([16, 17, 31, 64, 200, 600])


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 3), st.sampled_from(TRANSFORMS))
def test_any_two_shapes_have_a_similarity(a: int, b: int, c: int, d: int, seed: int, transform: str) -> None:
    files = [encode(picture(seed, a, b), "PNG"), encode(picture(2, c, d), "PNG")]
    assert -1 <= similarity(files[0], files[1], transform) <= 1.0001
