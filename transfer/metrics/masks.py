"""Instance segmentation: average precision and recall of masks, as the COCO challenge defines them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycocotools import mask as rle

from transfer.errors import BrokenAnnotation, BrokenPredictions, DataError
from transfer.metrics.boxes import BOX_SCORES, score_boxes
from transfer.metrics.coco import Entry, coco_stats, read_predictions, read_truth
from transfer.metrics.hot import hot_stats

Sizes = Mapping[Any, tuple[int, int]]


def score_masks(predictions: Path, annotations: Path, *, own_areas: bool = False) -> dict[str, float]:
    """Score COCO results (`image_id`, `category_id`, `segmentation`, `score`) against an annotation file.

    Returns `BOX_SCORES` of masks as shares, equal to pycocotools' COCOeval; -1 where the data set has nothing to find.
    Where results have a `bbox` (xywh), too, pycocotools' loadRes takes the box's area for a detection's size;
    `own_areas` takes the mask's, as mmdet and detectron2 do. Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    stats = hot_stats("segm", predictions, annotations, own_areas=own_areas)
    stats = stats or _careful_stats(predictions, annotations, own_areas)
    return dict(zip(BOX_SCORES, stats, strict=True))


def score_instances(predictions: Path, annotations: Path) -> dict[str, float]:
    """Scores of the masks by their own areas, and of the boxes beside them in the same results as `bbox/<score>`."""
    boxes = score_boxes(predictions, annotations)
    masks = score_masks(predictions, annotations, own_areas=True)
    return masks | {f"bbox/{name}": value for name, value in boxes.items()}


def _careful_stats(predictions: Path, annotations: Path, own_areas: bool) -> list[float]:
    truth = read_truth(annotations, {"area": 0, "iscrowd": 0})
    if not all("height" in image and "width" in image for image in truth["images"]):
        raise BrokenAnnotation(f"{annotations}: masks need height and width of every image. Add them.")
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    objects = [_encoded(annotations, n, e, sizes, BrokenAnnotation) for n, e in enumerate(truth["annotations"])]
    found = read_predictions(predictions, truth, {"score": 0}, optional={"bbox": 4})
    masks = [_encoded(predictions, n, e, sizes, BrokenPredictions) for n, e in enumerate(found)]
    measured = [{**mask, "area": _area(mask, own_areas)} for mask in masks]
    return coco_stats("segm", {**truth, "annotations": objects}, measured)


def _area(mask: Entry, own: bool) -> float:
    if own or "bbox" not in mask:
        return float(rle.area(mask["segmentation"]))
    _, _, width, height = mask["bbox"]
    return float(width * height)


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
