"""Megapixels per image after padding to the largest image of the step: orders of training against each other.

    python tools/bench/padding.py annotations.json ... [--images-per-step 16] [--processes 8] [--steps 20000]

Sizes come from COCO json files and are scaled to 1333x800 as training does. Compared are images as they are, any order,
steps of one orientation (what `transfer eval` does), and mmdet's AspectRatioBatchSampler, which pads the images of one
process to the largest of that process.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfer.openmmlab.order import Order, orientations, shuffled, shuffled_by_orientation

SCALE, DIVISOR = (1333, 800), 32
Sizes = NDArray[np.int64]


def read_sizes(paths: Iterable[Path]) -> Sizes:
    """Return the `(N, 2)` width and height of all images, as training scales them."""
    entries = [image for path in paths for image in json.loads(path.read_text(encoding="utf-8"))["images"]]
    sizes = np.array([(image["width"], image["height"]) for image in entries])
    longest, shortest = sizes.max(axis=1), sizes.min(axis=1)
    ratio = np.minimum(max(SCALE) / longest, min(SCALE) / shortest)
    return (sizes * ratio[:, None] + 0.5).astype(np.int64)


def batches(order: Callable[[int], Order], size: int) -> Iterator[Order]:
    """Yield batches of `size` images, which may begin in one epoch and end in the next."""
    left = np.empty(0, np.int64)
    for epoch in count():
        left = np.concatenate([left, order(epoch)])
        while len(left) >= size:
            yield left[:size]
            left = left[size:]


def batches_by_process(order: Callable[[int], Order], upright: bytes, size: int) -> Iterator[Order]:
    """Yield batches as mmdet's AspectRatioBatchSampler does on one process, over an endless order."""
    waiting: tuple[list[int], list[int]] = ([], [])
    for epoch in count():
        for index in order(epoch).tolist():
            bucket = waiting[upright[index]]
            bucket.append(index)
            if len(bucket) == size:
                yield np.array(bucket)
                bucket.clear()


def padded(sizes: Sizes, found: Iterable[Order]) -> float:
    """Return the mean megapixels per image of batches that are padded to their largest image."""
    sides = [np.ceil(sizes[batch].max(axis=0) / DIVISOR) * DIVISOR for batch in found]
    return float(np.prod(sides, axis=1).mean() / 1e6)


def main() -> None:
    """Print a line for each order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, nargs="+")
    parser.add_argument("--images-per-step", type=int, default=16)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    sizes, images = read_sizes(options.annotations), options.images_per_step
    upright = orientations(map(tuple, sizes.tolist()))
    any_order = partial(shuffled, 0, images=len(sizes))

    def ours(epoch: int) -> Order:
        return shuffled_by_orientation(0, epoch, upright, images)

    orders = {
        "each image alone": batches(any_order, 1),
        "any order": batches(any_order, images),
        "steps of one orientation": batches(ours, images),
        "mmdet's batches of a process": batches_by_process(any_order, upright, images // options.processes),
    }
    print(f"{len(sizes)} images, {sum(upright)} upright, {images} a step, {options.processes} processes")
    for name, found in orders.items():
        print(f"{name}: {padded(sizes, islice(found, options.steps)):.3f} megapixels an image")
    drawn = islice(batches(ours, images), options.steps)
    mixed = sum(len({upright[index] for index in step.tolist()}) == 2 for step in drawn)
    print(f"steps of both orientations: {mixed / options.steps:.2%}")


if __name__ == "__main__":
    main()
