"""Random draws that are the same on every machine and in every release of numpy."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def stream(*names: object) -> Random:
    """A random stream of its own for `names`, so that nothing depends on what was drawn before."""
    return Random("/".join(map(str, names)))


def random_bytes(rng: Random, height: int, width: int) -> Array:
    """(height, width) uint8, uniform."""
    return np.frombuffer(rng.randbytes(height * width), np.uint8).reshape(height, width)


def colour(rng: Random) -> tuple[int, int, int]:
    """An RGB colour, 0 to 255 per channel; never tells a class."""
    return rng.randrange(24, 232), rng.randrange(24, 232), rng.randrange(24, 232)


def contrasting(rng: Random, other: tuple[int, int, int]) -> tuple[int, int, int]:
    """A colour whose brightness is at least 60 of 255 away from `other`'s."""
    while True:
        candidate = colour(rng)
        if abs(_brightness(candidate) - _brightness(other)) >= 60:
            return candidate


def _brightness(rgb: tuple[int, int, int]) -> int:
    return (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2]) // 1000
