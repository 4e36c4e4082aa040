"""Detection as Pascal VOC scores it: 2010's area, 2007's eleven points, and detectron2's mean of the latter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.metrics.coco import Entry, read_predictions, read_truth

Floats = NDArray[np.float64]
THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))


def score_voc(predictions: Path, annotations: Path) -> dict[str, float]:
    """Score COCO results against a COCO-style file whose annotations carry `difficult` (0 or 1).

    Boxes are xywh = (xmin - 1, ymin - 1, xmax - xmin + 1, ymax - ymin + 1), which makes their plain IoU VOC's.
    Returns `AP50` (area), `AP50_07`, `AP_07`, `AP75_07` and `AP50/<category>`; -1 for a class without objects, which no
    mean counts. Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    truth = read_truth(annotations, {"bbox": 4, "difficult": 0})
    found = read_predictions(predictions, truth, {"bbox": 4, "score": 0})
    areas, points = {}, []
    for category in truth["categories"]:
        objects, detections = (_of(entries, category["id"]) for entries in (truth["annotations"], found))
        positives = sum(not item["difficult"] for item in objects)
        name = f"AP50/{category.get('name', category['id'])}"
        areas[name] = -1.0
        if positives:
            curves = [_curve(objects, detections, threshold, positives) for threshold in THRESHOLDS]
            areas[name] = area(*curves[0])
            points.append([eleven_points(*curve) for curve in curves])
    defined = [value for value in areas.values() if value != -1]
    mean = np.mean(points, axis=0) if points else np.full(len(THRESHOLDS), -1.0)
    first = float(np.mean(defined)) if defined else -1.0
    return {
        "AP50": first, "AP50_07": float(mean[0]), "AP_07": float(mean.mean()), "AP75_07": float(mean[5]), **areas,
    }  # fmt: skip


def area(recall: Floats, precision: Floats) -> float:
    """Area under the precision that is never exceeded at a higher recall (VOC 2010 and later)."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def eleven_points(recall: Floats, precision: Floats) -> float:
    """Mean of the best precision at recall 0, 0.1, ... 1 or more (VOC 2007)."""
    return float(sum(precision[recall >= point].max(initial=0) for point in np.arange(0, 1.1, 0.1)) / 11)


def _of(entries: list[Entry], category: Any) -> list[Entry]:
    return [entry for entry in entries if entry["category_id"] == category]


def _curve(objects: list[Entry], detections: list[Entry], threshold: float, positives: int) -> tuple[Floats, Floats]:
    """Recall and precision after each detection, best score first; a difficult object is neither found nor missed."""
    images: dict[Any, list[Entry]] = {}
    for item in objects:
        images.setdefault(item["image_id"], []).append(item)
    taken: set[int] = set()
    hits = []
    for detection in sorted(detections, key=lambda entry: -entry["score"]):
        near = images.get(detection["image_id"], [])
        overlap, best = max(
            ((_iou(item["bbox"], detection["bbox"]), -n) for n, item in enumerate(near)), default=(0, 0)
        )
        match = near[-best] if overlap > threshold else None
        if match is None or not match["difficult"]:
            hits.append(match is not None and id(match) not in taken)
            taken.add(id(match))
    found = np.cumsum(np.array(hits, float))
    return found / positives, found / np.arange(1, len(hits) + 1)


def _iou(first: list[float], second: list[float]) -> float:
    (x, y, w, h), (u, v, p, q) = first, second
    common = max(min(x + w, u + p) - max(x, u), 0) * max(min(y + h, v + q) - max(y, v), 0)
    return common / (w * h + p * q - common) if common else 0.0
