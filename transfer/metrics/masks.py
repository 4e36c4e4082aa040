"""Instance segmentation: average precision and recall of masks, as the COCO challenge defines them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycocotools import mask as rle

from transfer.errors import BrokenAnnotation, BrokenPredictions, DataError
from transfer.metrics.boxes import BOX_SCORES
from transfer.metrics.coco import Entry, coco_stats, read_predictions, read_truth
from transfer.metrics.hot import hot_stats

Sizes = Mapping[Any, tuple[int, int]]


def score_masks(predictions: Path, annotations: Path) -> dict[str, float]:
    """Score COCO results (`image_id`, `category_id`, `segmentation` as RLE, `score`) against an annotation file.

    Returns `BOX_SCORES` of masks as shares, equal to pycocotools' COCOeval; -1 where the data set has nothing to find.
    A detection's size is the area of its mask, as mmdet and detectron2 measure it, whether or not it has a `bbox`.
    Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    stats = hot_stats("segm", predictions, annotations) or _careful_stats(predictions, annotations)
    return dict(zip(BOX_SCORES, stats, strict=True))


def _careful_stats(predictions: Path, annotations: Path) -> list[float]:
    truth = read_truth(annotations, {"area": 0, "iscrowd": 0})
    if not all("height" in image and "width" in image for image in truth["images"]):
        raise BrokenAnnotation(f"{annotations}: masks need height and width of every image. Add them.")
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    objects = [_encoded(annotations, n, e, sizes, BrokenAnnotation) for n, e in enumerate(truth["annotations"])]
    found = read_predictions(predictions, truth, {"score": 0})
    masks = [_encoded(predictions, n, e, sizes, BrokenPredictions) for n, e in enumerate(found)]
    masks = [{**mask, "area": float(rle.area(mask["segmentation"]))} for mask in masks]
    return coco_stats("segm", {**truth, "annotations": objects}, masks)


def _encoded(path: Path, number: int, entry: Entry, sizes: Sizes, error: type[DataError]) -> Entry:
    """`entry` with its polygons or RLE as compressed RLE, whose size and runs fit the image."""
    height, width = sizes[entry["image_id"]]
    mask = entry.get("segmentation")
    try:
        if isinstance(mask, list):
            return {**entry, "segmentation": rle.merge(rle.frPyObjects(mask, height, width))}
        if not isinstance(mask, dict) or tuple(mask["size"]) != (height, width):
            raise ValueError(f"size is not height {height}, width {width}")
        runs = mask["counts"] if isinstance(mask["counts"], list) else _runs(mask["counts"])
        if min(runs) < 0 or sum(runs) != height * width:
            raise ValueError(f"runs cover {sum(runs)} of {height * width} pixels")
        return {**entry, "segmentation": rle.frPyObjects({"size": [height, width], "counts": runs}, height, width)}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as reason:
        text = f"{path}: entry {number}: expected polygons or RLE of its image: {reason}. Write it again."
        raise error(text) from reason


def _runs(counts: str) -> list[int]:
    """Run lengths of a compressed RLE string: 5 bits a character, from the third run on as change from two before."""
    runs: list[int] = []
    value = shift = 0
    for code in counts.encode("ascii"):
        value |= (code - 48 & 31) << shift
        shift += 5
        if not code - 48 & 32:
            value -= (1 << shift) if code - 48 & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
