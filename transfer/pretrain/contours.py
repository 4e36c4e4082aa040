"""Radial contours: images from six numbers.

Kataoka et al., "Replacing Labeled Real-image Datasets with Auto-generated Contours", CVPR 2022: a class is a draw of
eta = (polygons N, vertices n, radius r, line width l_w, resizing o, noise lambda); its instances vary around it.

Two choices differ from the published images, grey lines on black: lines get random bright colours on a random dark
ground, so that colour tells nothing, and there are fewer lines, so that they stay apart at 64 pixels. (With grounds of
any brightness, a ResNet-18 was at 4% of 96 classes after 150 steps of 64 images; with dark ones at 71%.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray[Any, np.dtype[Any]]

FINE = 2
"""Canvas pixels per image pixel; lines are drawn large and averaged down."""

HARMONICS = np.arange(1, 7)
"""Frequencies of the smooth noise, in periods per turn."""


@dataclass(frozen=True)
class ContourClass:
    """A class, eta, with lengths as shares of the image's side.

    `polygons` concentric polygons of `vertices` vertices, the outermost of `radius`, each next one smaller by the
    share `resizing`; `line_width`; radii vary smoothly by up to about the share `noise`, along `phases` and
    `amplitudes` (one per harmonic) that belong to the class; `oval` stretches one axis.
    """

    polygons: int
    vertices: int
    radius: float
    line_width: float
    resizing: float
    noise: float
    oval: float
    amplitudes: tuple[float, ...]
    phases: tuple[float, ...]


def draw_classes(count: int, seed: int) -> tuple[ContourClass, ...]:
    """Draw the first `count` classes of `seed`; a larger count only adds classes."""
    return tuple(_draw_class(np.random.default_rng((seed, 0, index))) for index in range(count))


def _draw_class(rng: np.random.Generator) -> ContourClass:
    amplitudes = rng.standard_normal(len(HARMONICS)) / np.sqrt(HARMONICS)
    return ContourClass(
        polygons=int(rng.integers(1, 11)),
        vertices=int(np.exp(rng.uniform(np.log(3), np.log(40)))),
        radius=float(rng.uniform(0.30, 0.48)),
        line_width=float(rng.uniform(0.01, 0.05)),
        resizing=float(rng.uniform(0.06, 0.35)),
        noise=float(rng.uniform(0.0, 0.5)),
        oval=float(rng.uniform(1.0, 2.0)),
        amplitudes=tuple(float(value) for value in amplitudes / np.linalg.norm(amplitudes)),
        phases=tuple(float(value) for value in rng.uniform(0, 2 * np.pi, len(HARMONICS))),
    )


def render(contour: ContourClass, rng: np.random.Generator, size: int) -> Array:
    """Render an instance of `contour`, (size, size, 3) uint8 RGB.

    The augmentation (random resized crop, flip, turn) moves the vertices before anything is drawn.
    """
    canvas = size * FINE
    zoom = rng.uniform(0.8, 1.3)
    points = _vertices(contour, rng) @ _turn(rng).T
    points = canvas * (zoom * points + 0.5 + rng.uniform(-0.12, 0.12, 2))
    width = max(1, round(contour.line_width * zoom * canvas * rng.uniform(0.8, 1.25)))
    ground, *ends = _colours(rng)
    image = Image.new("RGB", (canvas, canvas), ground)
    draw = ImageDraw.Draw(image)
    for polygon, share in zip(points, np.linspace(0, 1, len(points)), strict=True):
        line = tuple(int(value) for value in (1 - share) * np.array(ends[0]) + share * np.array(ends[1]))
        draw.line([*map(tuple, polygon.round().tolist()), *map(tuple, polygon[:2].round().tolist())], line, width)
    return np.asarray(image.reduce(FINE))


def _vertices(contour: ContourClass, rng: np.random.Generator) -> Array:
    """Return (N, n, 2) around the origin, as shares of the side."""
    angles = 2 * np.pi * np.arange(contour.vertices) / contour.vertices
    amplitudes = np.array(contour.amplitudes) + rng.normal(0, 0.08, len(HARMONICS))
    waves = np.sin(np.outer(angles, HARMONICS) + contour.phases) @ amplitudes
    radii = contour.radius * np.maximum(1 + contour.noise * waves, 0.1)
    scales = (1 - contour.resizing) ** np.arange(contour.polygons)
    outline = radii[:, None] * np.stack([np.cos(angles), np.sin(angles) / contour.oval], 1)
    return np.asarray(scales[:, None, None] * outline)


def _turn(rng: np.random.Generator) -> Array:
    """Return a (2, 2) rotation by up to 20 degrees, mirrored half of the time."""
    angle = rng.uniform(-np.pi / 9, np.pi / 9)
    cos, sin = np.cos(angle), np.sin(angle)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    return np.array([[flip * cos, -sin], [flip * sin, cos]])


def _colours(rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return colours of ground, outermost line, innermost line: bright on dark."""
    ground, *lines = rng.integers(0, 60, 3), rng.integers(90, 256, 3), rng.integers(90, 256, 3)
    return [(int(r), int(g), int(b)) for r, g, b in (ground, *lines)]
