"""Instance segmentation: average precision and recall of masks, as the COCO challenge defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from pycocotools import mask as rle

from transfer.errors import BrokenAnnotation, BrokenPredictions, DataError
from transfer.metrics.boxes import BOX_ORDER, BOX_SCORES, resample_boxes, score_boxes
from transfer.metrics.coco import (
    Entry,
    Measured,
    coco_engine,
    coco_stats,
    loaded_area,
    read_predictions,
    read_truth,
)
from transfer.metrics.coco_types import MASKS
from transfer.metrics.hotcoco import hot_stats
from transfer.metrics.matching import match_coco
from transfer.metrics.metric import Files, Metric, Rescorer, Scores
from transfer.metrics.rescoring import HEADLINE, coco_rescorer
from transfer.metrics.results_file import RESULTS_FILE

Sizes = Mapping[Any, tuple[int, int]]

BESIDE = "bbox/"
"""What the names of the scores of the boxes beside masks begin with."""

ENTRIES = msgspec.json.Decoder(list[msgspec.Raw])


def score_masks(predictions: Path, annotations: Path, *, own_areas: bool = False) -> Scores:
    """Score COCO results (`image_id`, `category_id`, `segmentation`, `score`) against an annotation file.

    Returns `BOX_SCORES` of masks as shares, equal to pycocotools' COCOeval; -1 where the data set has nothing to find.
    Where results have a `bbox` (xywh), too, pycocotools' loadRes takes the box's area for a detection's size;
    `own_areas` takes the mask's, as mmdet and detectron2 do. Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    stats = hot_stats(MASKS, predictions, annotations, own_areas=own_areas)
    stats = stats or coco_stats(coco_engine(MASKS, read_masks(predictions, annotations, own_areas)))
    return dict(zip(BOX_SCORES, stats, strict=True))


def score_instances(files: Files) -> Scores:
    """Score the masks by their own areas, and as `bbox/<score>` the boxes beside them, where the results have some."""
    boxes = score_boxes(files.predictions, files.truth) if _have_boxes(files.predictions) else {}
    masks = score_masks(files.predictions, files.truth, own_areas=True)
    return masks | {f"{BESIDE}{name}": value for name, value in boxes.items()}


def read_masks(predictions: Path, annotations: Path, own_areas: bool = True) -> Measured:
    """Read annotations and results with every mask as compressed run lengths. Raises as `score_masks` does."""
    truth = read_truth(annotations, {"area": 0, "iscrowd": 0})
    if not all("height" in image and "width" in image for image in truth["images"]):
        raise BrokenAnnotation(f"{annotations}: masks need height and width of every image. Add them.")
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    objects = [_encoded(annotations, n, e, sizes, BrokenAnnotation) for n, e in enumerate(truth["annotations"])]
    found = read_predictions(predictions, truth, {"score": 0}, optional={"bbox": 4})
    masks = [_encoded(predictions, n, e, sizes, BrokenPredictions) for n, e in enumerate(found)]
    measured = [{**mask, "area": _area(mask, own_areas)} for mask in masks]
    return Measured({**truth, "annotations": objects}, measured)


def _resample(files: Files, names: Sequence[str]) -> Rescorer:
    """Masks, or the boxes beside them, only where `names` ask for these: each takes its time."""
    ways = {"": _resample_masks, BESIDE: resample_boxes}
    wanted = {BESIDE if name.startswith(BESIDE) else "" for name in names}
    rescorers = {prefix: way(files) for prefix, way in ways.items() if prefix in wanted}
    return lambda weights: {
        f"{prefix}{name}": value for prefix, each in rescorers.items() for name, value in each(weights).items()
    }


def _resample_masks(files: Files) -> Rescorer:
    return coco_rescorer(match_coco(MASKS, files.predictions, files.truth, read_masks), files)


def _have_boxes(predictions: Path) -> bool:
    """As the first result says: it is an error if others say otherwise, which scoring the masks finds."""
    try:
        entries = ENTRIES.decode(predictions.read_bytes())
        return not entries or "bbox" in msgspec.json.decode(entries[0], type=dict[str, msgspec.Raw])
    except (OSError, ValueError, RecursionError):
        return False


def _area(mask: Entry, own: bool) -> float:
    return float(rle.area(mask["segmentation"])) if own or "bbox" not in mask else loaded_area(mask)


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


METRIC = Metric(
    name="segm",
    annotations="masks",
    form=RESULTS_FILE,
    definition="COCO mask AP and box AP, pycocotools 2 definition, 100 detections, sizes by mask and by box",
    scores=(*BOX_SCORES, *(f"{BESIDE}{name}" for name in BOX_SCORES)),
    headline=(*HEADLINE, *(f"{BESIDE}{name}" for name in HEADLINE)),
    evaluate=score_instances,
    resample=_resample,
    ordered=(*BOX_ORDER, *((f"{BESIDE}{small}", f"{BESIDE}{large}") for small, large in BOX_ORDER)),
)
