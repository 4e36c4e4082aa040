"""One image of `mini` with everything that is true about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from transfer.datasets.mini.classes import JOINTS, OBJECTS, SEMANTIC_CLASSES
from transfer.datasets.mini.draws import Array, colour, contrasting, stream
from transfer.datasets.mini.person import Figure, draw_figure
from transfer.datasets.mini.shapes import OUTLINES, Point, placed, triangle
from transfer.datasets.mini.sprites import Sprite, figure_sprite, rigid
from transfer.datasets.mini.textures import OBJECT_TEXTURES, blend, clouds, gravel, plain, ripples, shaded

SIZE = 128
"""Side of an image in pixels."""

FINE = 4
"""Canvas pixels per image pixel: everything is drawn large and averaged down."""

CANVAS = SIZE * FINE

VISIBLE = 0.45
"""Share of an object that later objects leave uncovered, at least."""

ATTEMPTS = 6

Joint = tuple[float, float, int]


@dataclass(frozen=True)
class Instance:
    """A visible object: class name, (SIZE, SIZE) bool mask of what is seen, and joints (x, y, visibility) if any."""

    name: str
    mask: Array
    joints: tuple[Joint, ...] = ()


@dataclass(frozen=True)
class Scene:
    """`image` (SIZE, SIZE, 3) uint8, `labels` (SIZE, SIZE) uint8 of SEMANTIC_CLASSES, and the instances."""

    image: Array
    labels: Array
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class Item:
    """Something on the canvas; `name` is empty for clutter."""

    name: str
    sprite: Sprite
    figure: Figure | None = None


def draw_scene(seed: int, split: str, index: int) -> Scene:
    """The scene called (seed, split, index); no other scene's drawing changes it."""
    rng = stream("mini", seed, split, index)
    canvas, regions = _background(rng)
    owner = np.full((CANVAS, CANVAS), -1, np.int16)
    items: list[Item] = []
    for name in _cast(rng):
        item = _fitting(rng, name, items, owner)
        if item is not None:
            owner[item.sprite.window][item.sprite.mask] = len(items)
            canvas[item.sprite.window][item.sprite.mask] = item.sprite.pixels[item.sprite.mask]
            items.append(item)
    return _scene(canvas, regions, owner, items)


def _cast(rng: Random) -> list[str]:
    """Names of what shall appear, back to front; clutter is nameless."""
    persons = rng.choices((0, 1, 2, 3), (2, 9, 6, 3))[0]
    others = [rng.choice(OBJECTS[1:]) for _ in range(rng.randrange(1, 4))]
    cast = [*["person"] * persons, *others, *[""] * rng.randrange(1, 4)]
    rng.shuffle(cast)
    return cast


def _fitting(rng: Random, name: str, items: list[Item], owner: Array) -> Item | None:
    """A new item that hides nobody too much, or None when the scene is full."""
    for _ in range(ATTEMPTS):
        item = _item(rng, name)
        if item.sprite.mask.sum() >= 60 * FINE**2 and _leaves_visible(item.sprite, items, owner):
            return item
    return None


def _leaves_visible(sprite: Sprite, items: list[Item], owner: Array) -> bool:
    covered = np.bincount(owner[sprite.window][sprite.mask] + 1, minlength=len(items) + 1)[1:]
    if not covered.any():
        return True
    seen = np.bincount((owner + 1).ravel(), minlength=len(items) + 1)[1:]
    full = np.array([item.sprite.mask.sum() for item in items])
    touched = covered > 0
    return bool(np.all((seen - covered)[touched] >= VISIBLE * full[touched]))


def _item(rng: Random, name: str) -> Item:
    if name == "person":
        height = (50 + 58 * rng.random()) * FINE
        figure = draw_figure(rng, _centre(rng, 0.25), height)
        return Item(name, figure_sprite(rng, figure, CANVAS), figure)
    radius = (10 + 28 * rng.random() ** 1.5) * FINE if name else (6 + 14 * rng.random()) * FINE
    outline = OUTLINES.get(name, triangle)(rng)
    texture = OBJECT_TEXTURES.get(name) or rng.choice((plain, *OBJECT_TEXTURES.values()))
    points = placed(outline, _centre(rng, 0.06), radius, 2 * math.pi * rng.random())
    return Item(name, rigid(rng, points, texture, CANVAS))


def _centre(rng: Random, margin: float) -> Point:
    low, span = margin * CANVAS, (1 - 2 * margin) * CANVAS
    return low + span * rng.random(), low + span * rng.random()


def _background(rng: Random) -> tuple[Array, Array]:
    """Canvas colours, and (SIZE, SIZE) labels of the regions: clouds above, ground or water below a wavy horizon."""
    field, labels = clouds(rng, CANVAS, CANVAS), np.zeros((SIZE, SIZE), np.uint8)
    first = colour(rng)
    canvas = blend(field, first, contrasting(rng, first))
    name, texture = rng.choice((("ground", gravel), ("water", ripples), ("", plain)))
    if name:
        below = _below_horizon(rng)
        second = colour(rng)
        region = blend(texture(rng, CANVAS, CANVAS), second, contrasting(rng, second))
        canvas = np.where(below[..., None], region, canvas)
        labels[_shrunk(below)] = SEMANTIC_CLASSES.index(name)
    return shaded(rng, canvas), labels


def _below_horizon(rng: Random) -> Array:
    """(CANVAS, CANVAS) bool."""
    base, swing = rng.randrange(CANVAS * 35 // 100, CANVAS * 75 // 100), rng.randrange(CANVAS // 64, CANVAS // 14)
    phase, waves = 2 * math.pi * rng.random(), 1 + 2 * rng.random()
    line = [base + round(swing * math.sin(phase + 2 * math.pi * waves * x / CANVAS)) for x in range(CANVAS)]
    return np.arange(CANVAS)[:, None] >= np.array(line)[None, :]


def _scene(canvas: Array, regions: Array, owner: Array, items: list[Item]) -> Scene:
    labels, instances = regions.copy(), []
    for index, item in enumerate(items):
        mask = _shrunk(owner == index)
        labels[mask] = SEMANTIC_CLASSES.index(item.name) if item.name else 0
        if item.name and mask.any():
            instances.append(Instance(item.name, mask, _joints(item.figure, owner, index)))
    image = np.asarray(Image.fromarray(canvas).reduce(FINE))
    return Scene(image, labels, tuple(instances))


def _shrunk(mask: Array) -> Array:
    """Image pixels of which at least half is in the canvas `mask`."""
    blocks = mask.reshape(SIZE, FINE, SIZE, FINE).sum((1, 3))
    return np.asarray(2 * blocks >= FINE**2)


def _joints(figure: Figure | None, owner: Array, index: int) -> tuple[Joint, ...]:
    if figure is None:
        return ()
    return tuple(_joint(figure.joints[name], owner, index) for name in JOINTS)


def _joint(point: Point, owner: Array, index: int) -> Joint:
    """In image pixels; visibility 0 outside the image (at the origin, as in COCO), 1 behind a later item, 2 seen."""
    column, row = (math.floor(value) for value in point)
    if not (0 <= column < CANVAS and 0 <= row < CANVAS):
        return (0, 0, 0)
    return (round(point[0] / FINE, 1), round(point[1] / FINE, 1), 1 if owner[row, column] > index else 2)
