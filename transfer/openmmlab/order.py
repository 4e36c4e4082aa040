"""Which image stands at which place of an epoch: a function of the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Order = NDArray[np.int64]


def orientations(sizes: Iterable[tuple[int, int]]) -> bytes:
    """Return one byte for each (width, height): 1 where the image is upright, 0 where it is as wide or wider."""
    return bytes(width < height for width, height in sizes)


@lru_cache(maxsize=2)
def shuffled(seed: int, epoch: int, images: int) -> Order:
    """Return a permutation of `images` indices."""
    return np.random.default_rng([seed, epoch]).permutation(images)


@lru_cache(maxsize=2)
def shuffled_by_orientation(seed: int, epoch: int, upright: bytes, images_per_step: int) -> Order:
    """Return a permutation of the images, as many as `upright` has bytes, whose whole steps have one orientation each.

    Epoch `e` of N images takes the positions from `e N` on; position `p` belongs to step `p // images_per_step`, so
    that two epochs share a step where `images_per_step` does not divide N. The images of each orientation, shuffled,
    are cut into whole steps. What is left of both, fewer than two steps, fills the places in the shared steps at both
    ends of the epoch and, if there is enough, one step of both orientations; if there is too little, one whole step
    helps. All steps between the ends are then shuffled. Every second epoch begins with the upright images among those
    that are left, so that shared steps, too, often have one orientation.
    """
    images = len(upright)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(images)
    is_upright = np.frombuffer(upright, np.bool_)[order]
    begun = min(images, -epoch * images % images_per_step)  # places in a step of the epoch before
    available = (images - begun) // images_per_step
    sides = [order[is_upright == side] for side in ((False, True), (True, False))[epoch % 2]]
    whole, rest = zip(*(_cut(side, images_per_step) for side in sides), strict=True)
    steps = np.concatenate(whole)
    left = np.concatenate([rest[0], *steps[available:], rest[1]])
    mixed = left[begun : begun + (available - len(steps[:available])) * images_per_step].reshape(-1, images_per_step)
    inside = random.permutation(np.concatenate([steps[:available], mixed])).reshape(-1)
    return np.concatenate([left[:begun], inside, left[begun + mixed.size :]])


def _cut(images: Order, images_per_step: int) -> tuple[Order, Order]:
    """Return `(steps, images_per_step)` whole steps and the images that are left."""
    whole = len(images) // images_per_step * images_per_step
    return images[:whole].reshape(-1, images_per_step), images[whole:]
