"""Objects as cut-outs, ready to be pasted onto the canvas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from transfer.datasets.mini.draws import Array, colour, contrasting
from transfer.datasets.mini.person import Figure, Limb
from transfer.datasets.mini.shapes import Point
from transfer.datasets.mini.textures import Texture, blend, plain, shaded, weave

EYE = (20, 16, 24)


@dataclass(frozen=True)
class Sprite:
    """`mask` (h, w) bool and `pixels` (h, w, 3) uint8, their upper left corner at (`left`, `top`) of the canvas."""

    left: int
    top: int
    mask: Array
    pixels: Array

    @property
    def window(self) -> tuple[slice, slice]:
        """The canvas region that the sprite covers."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


Window = tuple[int, int, int, int]


def rigid(rng: Random, outline: Sequence[Point], texture: Texture, canvas: int) -> Sprite:
    """A textured polygon, cut at the border of the square canvas."""
    window = _window(outline, canvas)
    mask = _fill(outline, window)
    first = colour(rng)
    field = texture(rng, *mask.shape)
    return Sprite(window[0], window[1], mask, shaded(rng, blend(field, first, contrasting(rng, first))))


def figure_sprite(rng: Random, figure: Figure, canvas: int) -> Sprite:
    """A figure: every limb in the colours of its part, each a little lighter or darker than the next."""
    outlines = [capsule(limb) for limb in figure.limbs]
    window = _window([point for outline in outlines for point in outline], canvas)
    mask = np.zeros((window[3] - window[1], window[2] - window[0]), bool)
    pixels = np.zeros((*mask.shape, 3), np.uint8)
    looks = _looks(rng, *mask.shape)
    for limb, outline in zip(figure.limbs, outlines, strict=True):
        part = _window(outline, canvas)
        region = slice(part[1] - window[1], part[3] - window[1]), slice(part[0] - window[0], part[2] - window[0])
        inside = _fill(outline, part)
        light = np.minimum(np.arange(256) * rng.randrange(176, 281) // 256, 255).astype(np.uint8)
        pixels[region][inside] = light[looks[limb.part][region][inside]]
        mask[region] |= inside
    return Sprite(window[0], window[1], mask, shaded(rng, pixels))


def capsule(limb: Limb) -> list[Point]:
    """The outline of a limb: a stroke with round ends."""
    along = math.atan2(limb.end[1] - limb.start[1], limb.end[0] - limb.start[0])
    radius = limb.width / 2
    ends = ((limb.start, along + math.pi / 2), (limb.end, along - math.pi / 2))
    return [
        (centre[0] + radius * math.cos(first + math.pi * i / 8), centre[1] + radius * math.sin(first + math.pi * i / 8))
        for centre, first in ends
        for i in range(9)
    ]


def _looks(rng: Random, height: int, width: int) -> dict[str, Array]:
    """A texture in its own colours for every part of a figure."""
    looks = {"eye": np.broadcast_to(np.array(EYE, np.uint8), (height, width, 3))}
    for part, texture in (("skin", plain), ("shirt", weave), ("trousers", weave)):
        first = colour(rng)
        looks[part] = blend(texture(rng, height, width), first, contrasting(rng, first))
    return looks


def _window(points: Sequence[Point], canvas: int) -> Window:
    """(left, top, right, bottom) around `points`, within the canvas; at least one pixel."""
    left, top = (min(max(math.floor(min(axis)), 0), canvas - 1) for axis in zip(*points, strict=True))
    right, bottom = (max(min(math.ceil(max(axis)) + 1, canvas), 1) for axis in zip(*points, strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _fill(outline: Sequence[Point], window: Window) -> Array:
    """(h, w) bool of the window's pixels within `outline`; whole coordinates, so that rounding is ours alone."""
    image = Image.new("L", (window[2] - window[0], window[3] - window[1]))
    ImageDraw.Draw(image).polygon([(round(x) - window[0], round(y) - window[1]) for x, y in outline], fill=255)
    return np.asarray(image) > 0
