"""Detection as Pascal VOC scores it: 2010's area, 2007's eleven points, and detectron2's mean of the latter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.metrics.coco import Entry, read_predictions, read_truth

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

VOC_SCORES = ("AP50", "AP50_07", "AP_07", "AP75_07")
THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
UNDEFINED = -1.0


@dataclass(frozen=True)
class Matches:
    """A category's detections, best score first: `overlap` with and `target` of the object that each covers best.

    `difficult` says of each object whether it is neither to be found nor missed.
    """

    overlap: Floats
    target: Indices
    difficult: NDArray[np.bool_]

    @property
    def positives(self) -> int:
        """Objects that are to be found."""
        return int((~self.difficult).sum())


def score_voc(predictions: Path, annotations: Path) -> dict[str, float]:
    """Score COCO results against a COCO-style file whose annotations carry `difficult` (0 or 1).

    Boxes are xywh = (xmin - 1, ymin - 1, xmax - xmin + 1, ymax - ymin + 1), which makes their plain IoU VOC's.
    Returns `AP50` (area), `AP50_07`, `AP_07`, `AP75_07` and `AP50/<category>`; -1 for a class without objects, which no
    mean counts. Raises BrokenPredictions, BrokenAnnotation or MissingData. Source: the VOC development kits of 2007
    and 2010 (VOCevaldet.m, VOCap.m); detectron2's pascal_voc_evaluation.py for the mean over ten thresholds.
    """
    truth = read_truth(annotations, {"bbox": 4, "difficult": 0})
    found = read_predictions(predictions, truth, {"bbox": 4, "score": 0})
    names = {item["id"]: str(item.get("name", item["id"])) for item in truth["categories"]}
    matches = {
        name: match(_of(truth["annotations"], category), _of(found, category)) for category, name in names.items()
    }
    areas = {name: area(*curve(each, THRESHOLDS[0])) if each.positives else UNDEFINED for name, each in matches.items()}
    points = [
        [eleven_points(*curve(each, threshold)) for threshold in THRESHOLDS]
        for each in matches.values() if each.positives
    ]  # fmt: skip
    if not points:
        return dict.fromkeys((*VOC_SCORES, *(f"AP50/{name}" for name in areas)), UNDEFINED)
    mean = np.mean(points, axis=0)
    first = float(np.mean([value for value in areas.values() if value != UNDEFINED]))
    means = dict(zip(VOC_SCORES, (first, float(mean[0]), float(mean.mean()), float(mean[5])), strict=True))
    return means | {f"AP50/{name}": value for name, value in areas.items()}


def match(objects: list[Entry], detections: list[Entry]) -> Matches:
    """For every detection the object of its image that it covers best, the first of equals."""
    images: dict[Any, list[int]] = {}
    for number, item in enumerate(objects):
        images.setdefault(item["image_id"], []).append(number)
    boxes = np.array([item["bbox"] for item in objects], float).reshape(-1, 4)
    overlap, target = np.zeros(len(detections)), np.full(len(detections), -1)
    for rank, detection in enumerate(sorted(detections, key=lambda entry: -entry["score"])):
        if near := images.get(detection["image_id"]):
            overlaps = _overlaps(boxes[near], detection["bbox"])
            best = int(overlaps.argmax())
            overlap[rank], target[rank] = overlaps[best], near[best]
    return Matches(overlap, target, np.array([bool(item["difficult"]) for item in objects], bool))


def curve(matches: Matches, threshold: float) -> tuple[Floats, Floats]:
    """Recall and precision after each detection that counts; one of a difficult object is neither hit nor miss.

    Of several detections of an object the best scored one is the hit, the others are false.
    """
    covering = matches.overlap > threshold
    counted = np.ones(len(covering), bool)
    counted[covering] = ~matches.difficult[matches.target[covering]]
    hits = np.zeros(len(covering), bool)
    hits[np.flatnonzero(covering)[np.unique(matches.target[covering], return_index=True)[1]]] = True
    found = np.cumsum(hits[counted], dtype=float)
    return found / matches.positives, found / np.arange(1, len(found) + 1)


def area(recall: Floats, precision: Floats) -> float:
    """Area under the precision that is never exceeded at a higher recall (VOC 2010 and later)."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def eleven_points(recall: Floats, precision: Floats) -> float:
    """Mean of the best precision at recall 0, 0.1, ... 1 or more (VOC 2007)."""
    return float(sum(precision[recall >= point].max(initial=0) for point in np.arange(0, 1.1, 0.1)) / 11)


def _of(entries: list[Entry], category: Any) -> list[Entry]:
    return [entry for entry in entries if entry["category_id"] == category]


def _overlaps(boxes: Floats, box: list[float]) -> Floats:
    """Intersection over union of (N, 4) `boxes` with `box`, all xywh."""
    start = np.maximum(boxes[:, :2], box[:2])
    end = np.minimum(boxes[:, :2] + boxes[:, 2:], np.add(box[:2], box[2:]))
    common = np.maximum(end - start, 0).prod(axis=1)
    union = boxes[:, 2:].prod(axis=1) + box[2] * box[3] - common
    overlaps: Floats = np.divide(common, union, out=np.zeros_like(common), where=common > 0)
    return overlaps
