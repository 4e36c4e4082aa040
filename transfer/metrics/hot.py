"""COCOeval's numbers in a fraction of its time and memory: plain files, checked in one pass, through hotcoco.

Whatever is not plain (text as an id, a damaged entry, a platform without hotcoco) is left to `transfer.metrics.coco`,
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

from transfer.metrics.plain import RESULTS, TRUTHS, VALUES, Kind, Rle, Size

hotcoco: Any = import_module("hotcoco") if find_spec("hotcoco") else None  # not built for every platform

Areas = NDArray[np.float64]
Sizes = Mapping[int, Size]

AT_ONCE = 10_000
"""Masks whose runs are read together; bounds the memory."""


def hot_stats(kind: Kind, predictions: Path, annotations: Path) -> list[float] | None:
    """COCOeval's summary numbers of a results file against an annotation file; None where these are not plain.

    Equal to `coco_stats` on what `read_truth` and `read_predictions` let pass.
    """
    if hotcoco is None:
        return None
    try:
        areas = _check(kind, predictions, annotations)
        return _evaluate(kind, predictions, annotations, areas)
    except (OSError, ValueError, RecursionError):  # what msgspec and hotcoco raise about a file
        return None


def _check(kind: Kind, predictions: Path, annotations: Path) -> Areas | None:
    """Raise ValueError for what is not plain; return the detections' areas where hotcoco would measure others."""
    truth = TRUTHS[kind].decode(annotations.read_bytes())
    found = RESULTS[kind].decode(predictions.read_bytes())
    sizes = {image.id: (image.height, image.width) for image in truth.images}
    categories = {category.id for category in truth.categories}
    _demand(len(sizes) == len(truth.images) and len(categories) == len(truth.categories))
    _demand(len({target.id for target in truth.annotations}) == len(truth.annotations))
    for entries in (truth.annotations, found):
        _demand({entry.image_id for entry in entries} <= sizes.keys())
        _demand({entry.category_id for entry in entries} <= categories)
        if kind == "keypoints":
            _demand(all(bytes(entry.keypoints).count(b",") == VALUES - 1 for entry in entries))
    if kind != "bbox":
        _demand(len({entry.bbox is msgspec.UNSET for entry in found}) < 2)
    return _check_masks(truth.annotations, found, sizes) if kind == "segm" else None


def _check_masks(objects: Sequence[Any], found: Sequence[Any], sizes: Sizes) -> Areas | None:
    """Masks must be of their image's size; where there are boxes, too, return the areas of the found masks.

    A mask's own area decides whether it is small, medium or large (mmdet, detectron2); hotcoco, as pycocotools, would
    take its box's. Compressed runs are read one by one for these areas only: to read them twice costs half the speed.
    """
    runs = [target for target in objects if isinstance(target.segmentation, Rle)]
    _demand(all(min(sizes[target.image_id]) > 0 for target in objects))
    _demand(all(_fits(entry.segmentation, sizes[entry.image_id]) for entries in (runs, found) for entry in entries))
    _areas(runs)
    return _areas(found) if found and found[0].bbox is not msgspec.UNSET else None


def _fits(mask: Rle, size: Size) -> bool:
    height, width = size
    return mask.size == size and (isinstance(mask.counts, str) or sum(mask.counts) == height * width)


def _areas(entries: Sequence[Any]) -> Areas:
    """Pixels of each mask. Raises ValueError for runs that no mask has."""
    areas = np.zeros(len(entries))
    for start in range(0, len(entries), AT_ONCE):
        masks = [entry.segmentation for entry in entries[start : start + AT_ONCE]]
        areas[start : start + AT_ONCE] = hotcoco.mask.area([{"size": m.size, "counts": m.counts} for m in masks])
    return areas


def _evaluate(kind: Kind, predictions: Path, annotations: Path, areas: Areas | None) -> list[float]:
    truth = hotcoco.COCO(str(annotations))
    found = truth.load_res(str(predictions))
    if areas is not None:
        found.update_anns(ids=np.arange(1, len(areas) + 1), area=areas)
    _demand(not truth.load_warnings and not found.load_warnings)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = hotcoco.COCOeval(truth, found, kind)
        evaluation.run()
    return [float(value) for value in evaluation.stats]


def _demand(plain: bool) -> None:
    if not plain:
        raise ValueError("not plain")
