"""Hash what an image looks like to 256 bits: signs of the lowest frequencies of its grey thumbnail.

After PDQ (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019): frequencies 1 to
16 in both directions of a 64x64 discrete cosine transform. Bits are the signs of the coefficients, not their order
around the median: with signs the eight ways to flip and rotate an image act on hashes exactly, by moving and inverting
bits, so a hash alone yields those of its mirror images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer.dedup.decoding import SIDE, Thumbnail

Hashes = NDArray[np.uint8]
"""(N, 32): 256 bits each, row by row of the (16, 16) frequencies, most significant bit first."""

VERSION = "dct256-sign-area64-1"
"""Name of the hash and of the decoding behind it. Hashes of different versions are never compared."""

FREQUENCIES, BITS = 16, 256

DUPLICATE = 31
"""Bits by which the same picture may differ (PDQ's published threshold)."""

CANDIDATE = 64
"""Bits up to which a pair is worth comparing pixel by pixel; unrelated photographs differ by 89 and more of 256."""

TEXTURE = 4.0
"""Least median size of the frequencies, grey levels; below, noise and compression decide half of the bits."""

TRANSFORMS = (
    "none", "flip", "flip vertical", "rotate 180", "transpose", "rotate 90", "rotate 270", "transverse",
)  # fmt: skip
"""Transforms of the test image, in the order of `variants`; rotations are clockwise."""

INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)
"""Number of the transform that undoes each transform."""

_POSITIONS = np.arange(SIDE)
_BASIS = np.sqrt(2 / SIDE) * np.cos(
    np.pi * (2 * _POSITIONS[None, :] + 1) * np.arange(1, FREQUENCIES + 1)[:, None] / (2 * SIDE)
)
BASIS: NDArray[np.float32] = _BASIS.astype(np.float32)
"""(16, 64) orthonormal cosines of frequency 1 to 16 (DCT-II)."""


@dataclass(frozen=True)
class Hashed:
    """`hashes` (N, 32) of N images, and their `texture` (N,): the median size of their frequencies, grey levels."""

    hashes: Hashes
    texture: NDArray[np.float32]

    @property
    def decidable(self) -> NDArray[np.bool_]:
        """(N,) True where there is enough to see for the hash to mean anything."""
        return self.texture >= TEXTURE


def hash_thumbnails(thumbnails: Iterable[Thumbnail]) -> Hashed:
    """Hash `(64, 64)` grey thumbnails."""
    pixels = np.array(list(thumbnails), np.float32).reshape(-1, SIDE, SIDE)
    frequencies = (BASIS @ pixels @ BASIS.T).reshape(-1, BITS)
    texture = np.median(np.abs(frequencies), axis=1).astype(np.float32) if len(pixels) else np.empty(0, np.float32)
    return Hashed(np.packbits(frequencies > 0, axis=1), texture)


def join_hashed(parts: Iterable[Hashed]) -> Hashed:
    """Join the hashes of several groups of images, in order; of no group, none."""
    hashes, textures = [np.empty((0, BITS // 8), np.uint8)], [np.empty(0, np.float32)]
    for part in parts:
        hashes.append(part.hashes)
        textures.append(part.texture)
    return Hashed(np.concatenate(hashes), np.concatenate(textures))


def variants(hashes: Hashes) -> NDArray[np.uint8]:
    """Return (8, N, 32): hashes of the images after each of `TRANSFORMS`.

    Mirroring an axis changes the sign of its odd frequencies, transposing swaps the two axes.
    """
    bits = np.unpackbits(hashes, axis=1).reshape(-1, FREQUENCIES, FREQUENCIES)
    odd = np.arange(1, FREQUENCIES + 1, dtype=np.uint8) % 2
    across, down = odd[None, None, :], odd[None, :, None]
    transposed = bits.transpose(0, 2, 1)
    made = [
        bits, bits ^ across, bits ^ down, bits ^ across ^ down,
        transposed, transposed ^ across, transposed ^ down, transposed ^ across ^ down,
    ]  # fmt: skip
    return np.stack([np.packbits(each.reshape(-1, BITS), axis=1) for each in made])


def distances(first: Hashes, second: Hashes) -> NDArray[np.int64]:
    """Count the bits (N,) in which rows of two (N, 32) arrays differ."""
    return np.asarray(np.bitwise_count(first ^ second).sum(axis=1), np.int64)
