"""Outlines of the rigid objects: points around the origin, of radius about 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random

Point = tuple[float, float]
Outline = Callable[[Random], list[Point]]


def star(rng: Random) -> list[Point]:
    """Five to seven points, random depth."""
    tips, depth = rng.randrange(5, 8), 0.4 + 0.2 * rng.random()
    return [_polar(1.0 if i % 2 == 0 else depth, math.pi * i / tips) for i in range(2 * tips)]


def blob(rng: Random) -> list[Point]:
    """A smooth closed curve: a circle with two random harmonics."""
    waves = [(k, 0.16 * rng.random(), 2 * math.pi * rng.random()) for k in (2, 3)]
    angles = [2 * math.pi * i / 60 for i in range(60)]
    return [_polar(0.84 + sum(a * math.sin(k * angle + p) for k, a, p in waves), angle) for angle in angles]


def crate(rng: Random) -> list[Point]:
    """A parallelogram."""
    aspect, skew = 0.55 + 0.4 * rng.random(), 0.3 * (rng.random() - 0.5)
    half = 0.8 * aspect
    return [(-0.8 - skew, -half), (0.8 - skew, -half), (0.8 + skew, half), (-0.8 + skew, half)]


def leaf(rng: Random) -> list[Point]:
    """A lens with two pointed ends."""
    width = 0.35 + 0.25 * rng.random()
    upper = [(math.cos(math.pi * i / 24), width * math.sin(math.pi * i / 24) ** 1.5) for i in range(25)]
    return upper + [(x, -y) for x, y in reversed(upper[1:-1])]


def triangle(rng: Random) -> list[Point]:
    """Clutter that belongs to no class."""
    return [_polar(0.7 + 0.3 * rng.random(), 2 * math.pi * (i + 0.4 * rng.random()) / 3) for i in range(3)]


OUTLINES: Mapping[str, Outline] = {"star": star, "blob": blob, "crate": crate, "leaf": leaf}


def placed(points: Sequence[Point], centre: Point, radius: float, angle: float) -> list[Point]:
    """`points` turned by `angle` (radians), scaled by `radius` and moved to `centre`."""
    cos, sin = radius * math.cos(angle), radius * math.sin(angle)
    return [(centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y) for x, y in points]


def _polar(radius: float, angle: float) -> Point:
    return radius * math.cos(angle), radius * math.sin(angle)
