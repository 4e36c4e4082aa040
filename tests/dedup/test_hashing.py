from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.dedup.conftest import TURNS, encode, picture
from transfer.dedup.decoding import Thumbnail, thumbnail
from transfer.dedup.hashing import (
    BASIS,
    CANDIDATE,
    DUPLICATE,
    INVERSE,
    TRANSFORMS,
    Hashed,
    distances,
    hash_thumbnails,
    variants,
)

NEAR_ZERO = 1e-2
"""Frequencies (grey levels) whose sign is rounding: 32-bit sums over 4096 pixels of up to 255."""

HASHES = hnp.arrays(np.uint8, (3, 32))
PICTURES = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 256, (64, 64), np.uint8))
GROUP = range(len(TRANSFORMS))


def hashed(*files: bytes) -> Hashed:
    return hash_thumbnails(map(thumbnail, files))


def frequencies(pixels: Thumbnail) -> np.ndarray:
    """(256,): OpenCV's discrete cosine transform in double precision."""
    return np.asarray(cv2.dct(pixels.astype(np.float64))[1:17, 1:17]).ravel()


def bits(hashes: np.ndarray) -> np.ndarray:
    return np.unpackbits(hashes, axis=-1)


def test_the_cosines_are_orthonormal() -> None:
    np.testing.assert_allclose(BASIS @ BASIS.T, np.eye(16), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(PICTURES)
def test_bits_are_signs_of_an_independent_cosine_transform(pixels: Thumbnail) -> None:
    found, expected = hash_thumbnails([pixels]), frequencies(pixels)
    clear = np.abs(expected) > NEAR_ZERO
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(bits(found.hashes[0])[clear], (expected > 0)[clear])
    assert found.texture[0] == pytest.approx(np.median(np.abs(expected)), rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(PICTURES)
def test_hashes_turn_as_pixels_do(pixels: Thumbnail) -> None:
    turned = [np.ascontiguousarray(turn(pixels)) for turn in TURNS]
    for made, image in zip(variants(hash_thumbnails([pixels]).hashes)[:, 0], turned, strict=True):
        clear = np.abs(frequencies(image)) > NEAR_ZERO
        np.testing.assert_array_equal(bits(made)[clear], bits(hash_thumbnails([image]).hashes[0])[clear])


@given(HASHES)
def test_the_eight_positions_are_closed(hashes: np.ndarray) -> None:
    def positions(each: np.ndarray) -> set[bytes]:
        return {code.tobytes() for code in variants(each[None])[:, 0]}

    for one in hashes:
        assert all(positions(code) == positions(one) for code in variants(one[None])[:, 0])


@given(HASHES, HASHES)
def test_turning_one_is_turning_the_other_back(first: np.ndarray, second: np.ndarray) -> None:
    for there, back in zip(GROUP, INVERSE, strict=True):
        one, other = distances(variants(first)[there], second), distances(first, variants(second)[back])
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(variants(variants(first)[there])[back], first)


@given(HASHES, HASHES)
def test_distances_count_bits(first: np.ndarray, second: np.ndarray) -> None:
    np.testing.assert_array_equal(distances(first, second), (bits(first) != bits(second)).sum(axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_near_in_the_position_that_they_were_turned_to(seed: int) -> None:
    pixels = picture(seed, 240, 320)
    original = hashed(encode(pixels, quality=95)).hashes
    for number, turn in enumerate(TURNS):
        smaller = cv2.resize(np.ascontiguousarray(turn(pixels)), (200, 170), interpolation=cv2.INTER_AREA)
        copy = hashed(encode(smaller, quality=40)).hashes
        near = np.array([distances(each, copy)[0] for each in variants(original)])
        assert (near.argmin(), near.min() <= DUPLICATE) == (number, True)
        assert (np.delete(near, number) > CANDIDATE).all()


def test_unrelated_pictures_are_far() -> None:
    hashes = hashed(*(encode(picture(seed)) for seed in range(40))).hashes
    near = np.bitwise_count(variants(hashes)[:, :, None] ^ hashes).sum(axis=-1).min(axis=0)
    assert near[~np.eye(40, dtype=bool)].min() > CANDIDATE


def test_pictures_without_texture_are_undecidable() -> None:
    level = np.full((100, 120, 3), 90, np.uint8)
    ramp = np.tile(np.linspace(0, 255, 120).astype(np.uint8)[None, :, None], (100, 1, 3))
    found = hashed(encode(level), encode(ramp), encode(ramp.swapaxes(0, 1), "PNG"), encode(picture(0)))
    assert found.decidable.tolist() == [False, False, False, True]


def test_no_pictures() -> None:
    found = hash_thumbnails([])
    assert (found.hashes.shape, found.texture.shape, variants(found.hashes).shape) == ((0, 32), (0,), (8, 0, 32))
