"""COCOeval's numbers in a fraction of its time and memory: ordinary files, checked in one pass, by hotcoco.

Whatever is not ordinary (text as an id, a damaged entry, no hotcoco) is left to `transfer.metrics.coco`,
which says what is wrong with the files, or scores them with pycocotools.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from transfer.metrics.coco_types import VALUES, CocoType, Rle, Size

hotcoco: Any = import_module("hotcoco") if find_spec("hotcoco") else None  # not built for every platform

Areas = NDArray[np.float64]
Sizes = Mapping[int, Size]

LETTERS = bytes(range(48, 112))
"""What compressed run lengths are written in: 48 plus 6 bits (pycocotools, rleToString)."""

AT_ONCE = 10_000
"""Masks whose runs are read together; bounds the memory."""


def hot_stats(what: CocoType, predictions: Path, annotations: Path, *, own_areas: bool = False) -> list[float] | None:
    """Return COCOeval's summary numbers of results against annotations; None where these files are not ordinary.

    Equal to `coco_stats` on what `read_truth` and `read_predictions` let pass. `own_areas` measures masks that have
    boxes, too, by their pixels.
    """
    if hotcoco is None:
        return None
    try:
        areas = _check(what, predictions, annotations, own_areas)
        return _evaluate(what, predictions, annotations, areas)
    except (OSError, ValueError, RecursionError):  # what msgspec and hotcoco raise about a file
        return None


def _check(what: CocoType, predictions: Path, annotations: Path, own_areas: bool) -> Areas | None:
    """Raise ValueError for what is not ordinary; return the detections' areas if hotcoco is to take those of masks."""
    truth = what.truth.decode(annotations.read_bytes())
    found = what.results.decode(predictions.read_bytes())
    sizes = {image.id: (image.height, image.width) for image in truth.images}
    categories = {category.id for category in truth.categories}
    _demand(len(sizes) == len(truth.images) and len(categories) == len(truth.categories))
    _demand(len({target.id for target in truth.annotations}) == len(truth.annotations))
    for entries in (truth.annotations, found):
        _demand({entry.image_id for entry in entries} <= sizes.keys())
        _demand({entry.category_id for entry in entries} <= categories)
        if what.joints:
            _demand(all(bytes(entry.keypoints).count(b",") == VALUES - 1 for entry in entries))
    if what.masks or what.joints:
        _demand(len({entry.bbox is msgspec.UNSET for entry in found}) < 2)
    if not what.masks:
        return None
    _check_masks(truth.annotations, found, sizes)
    return _areas(found) if own_areas else None


def _check_masks(objects: Sequence[Any], found: Sequence[Any], sizes: Sizes) -> None:
    """Masks must be of their image's size, and in the letters of run lengths.

    What the letters of predicted masks say is not added up here, which would halve the speed: runs beyond the image are
    no error but a mask that covers nothing, unless its own area is asked for.
    """
    runs = [target for target in objects if isinstance(target.segmentation, Rle)]
    _demand(all(min(sizes[target.image_id]) > 0 for target in objects))
    _demand(all(_fits(entry.segmentation, sizes[entry.image_id]) for entries in (runs, found) for entry in entries))
    _areas(runs)


def _fits(mask: Rle, size: Size) -> bool:
    if isinstance(mask.counts, str):
        return mask.size == size and not mask.counts.encode().translate(None, LETTERS)
    height, width = size
    return mask.size == size and sum(mask.counts) == height * width


def _areas(entries: Sequence[Any]) -> Areas:
    """Pixels of each mask. Raises ValueError for runs that no mask has."""
    areas = np.zeros(len(entries))
    for start in range(0, len(entries), AT_ONCE):
        masks = [entry.segmentation for entry in entries[start : start + AT_ONCE]]
        areas[start : start + AT_ONCE] = hotcoco.mask.area([{"size": m.size, "counts": m.counts} for m in masks])
    return areas


def _evaluate(what: CocoType, predictions: Path, annotations: Path, areas: Areas | None) -> list[float]:
    truth = hotcoco.COCO(str(annotations))
    found = truth.load_res(str(predictions))
    if areas is not None:
        found.update_anns(ids=np.arange(1, len(areas) + 1), area=areas)
    _demand(not truth.load_warnings and not found.load_warnings)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = hotcoco.COCOeval(truth, found, what.iou_type)
        evaluation.run()
    return [float(value) for value in evaluation.stats]


def _demand(ordinary: bool) -> None:
    if not ordinary:
        raise ValueError("no ordinary file")
