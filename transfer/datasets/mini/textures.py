"""Textures as blending fields, (height, width) uint8: 0 shows one colour, 255 the other.

Integer arithmetic throughout, so that every machine draws the same bytes. Lengths are in canvas pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random

import numpy as np
from PIL import Image

from transfer.datasets.mini.draws import Array, random_bytes

Texture = Callable[[Random, int, int], Array]

ONE = 256
"""Fixed-point unit of rotated coordinates."""


def clouds(rng: Random, height: int, width: int) -> Array:
    """Smooth noise of two octaves."""
    coarse, fine = (_noise(rng, height, width, cells).astype(np.int32) for cells in (4, 13))
    return ((2 * coarse + fine) // 3).astype(np.uint8)


def gravel(rng: Random, height: int, width: int) -> Array:
    """Fine blotches: the `ground`."""
    fine, finer = (_noise(rng, height, width, cells).astype(np.int32) for cells in (24, 48))
    contrast: Array = np.clip((fine + finer - 255) * 2 + 128, 0, 255)
    return contrast.astype(np.uint8)


def ripples(rng: Random, height: int, width: int) -> Array:
    """Wavering horizontal lines: the `water`."""
    period = rng.randrange(20, 36)
    wobble = _noise(rng, height, width, 6).astype(np.int64) // 10
    y = np.arange(height)[:, None]
    return _triangle((y + wobble) * ONE, period * ONE)


def stripes(rng: Random, height: int, width: int) -> Array:
    """Straight bands in one direction: a `star`."""
    u, _ = _rotated(rng, height, width)
    return _threshold(_triangle(u, rng.randrange(18, 34) * ONE))


def spots(rng: Random, height: int, width: int) -> Array:
    """Round dots on a lattice: a `blob`."""
    u, v = _rotated(rng, height, width)
    period = rng.randrange(20, 34) * ONE
    du, dv = ((axis % period - period // 2) // 16 for axis in (u, v))
    radius = period // 48
    return np.where(du * du + dv * dv < radius * radius, 255, 0).astype(np.uint8)


def checks(rng: Random, height: int, width: int) -> Array:
    """A chessboard: a `crate`."""
    u, v = _rotated(rng, height, width)
    side = rng.randrange(12, 22) * ONE
    parity: Array = (u // side + v // side) % 2
    return np.where(parity == 1, 255, 0).astype(np.uint8)


def chevrons(rng: Random, height: int, width: int) -> Array:
    """Zigzag bands: a `leaf`."""
    u, v = _rotated(rng, height, width)
    period = rng.randrange(36, 56) * ONE
    zigzag = abs(u % period - period // 2)
    return _threshold(_triangle(zigzag + v, rng.randrange(18, 30) * ONE))


def weave(rng: Random, height: int, width: int) -> Array:
    """Fine two-way threads with grain: the clothes of a `person`."""
    u, v = _rotated(rng, height, width)
    period = rng.randrange(8, 14) * ONE
    threads = (_triangle(u, period).astype(np.int32) + _triangle(v, period)) // 2
    return ((2 * threads + _noise(rng, height, width, 32)) // 3).astype(np.uint8)


def plain(rng: Random, height: int, width: int) -> Array:
    """One colour with soft shading."""
    return (_noise(rng, height, width, 5) // 4).astype(np.uint8)


OBJECT_TEXTURES: Mapping[str, Texture] = {"star": stripes, "blob": spots, "crate": checks, "leaf": chevrons}


def blend(field: Array, first: tuple[int, int, int], second: tuple[int, int, int]) -> Array:
    """(height, width, 3) uint8: `first` where `field` is 0, `second` where it is 255."""
    weight = np.arange(256)[:, None]
    palette = (np.array(first) * (255 - weight) + np.array(second) * weight) // 255
    colours: Array = palette.astype(np.uint8).take(field, axis=0)
    return colours


def shaded(rng: Random, image: Array) -> Array:
    """`image` under uneven light: 70 to 115 percent of its brightness."""
    height, width = image.shape[:2]
    light = 179 + _noise(rng, height, width, 3)[..., None].astype(np.int32) * 115 // 255
    return np.clip(image * light // ONE, 0, 255).astype(np.uint8)


def _noise(rng: Random, height: int, width: int, cells: int) -> Array:
    grid = Image.fromarray(random_bytes(rng, cells, cells))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))


def _rotated(rng: Random, height: int, width: int) -> tuple[Array, Array]:
    """Coordinates along a random direction and across it, times ONE."""
    angle = rng.random() * math.pi
    cos, sin = round(ONE * math.cos(angle)), round(ONE * math.sin(angle))
    x, y = np.arange(width)[None, :] + rng.randrange(1000), np.arange(height)[:, None] + rng.randrange(1000)
    return cos * x + sin * y + 10**7, cos * y - sin * x + 10**7


def _triangle(u: Array, period: int) -> Array:
    """Triangle wave, 0 to 255."""
    return (abs(u % period * 2 - period) * 255 // period).astype(np.uint8)


def _threshold(field: Array) -> Array:
    return np.where(field > 127, 255, 0).astype(np.uint8)
