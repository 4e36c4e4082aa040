"""Pose: average precision and recall over object keypoint similarity, as the COCO challenge defines them."""

from __future__ import annotations

from pathlib import Path

from transfer.metrics.coco import Entry, coco_stats, read_predictions, read_truth
from transfer.metrics.hot import hot_stats
from transfer.metrics.plain import VALUES

KEYPOINT_SCORES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def score_keypoints(predictions: Path, annotations: Path) -> dict[str, float]:
    """Score COCO results (`image_id`, `category_id`, `keypoints` 17 × (x, y, score), `score`) against annotations.

    Returns `KEYPOINT_SCORES` as shares, equal to pycocotools' COCOeval; -1 where the data set has nothing to find, 0
    where nothing was found. A person's size is that of its `bbox` (xywh) if the results have one, of the box around its
    predicted joints if not, as pycocotools' loadRes measures it.
    Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    stats = hot_stats("keypoints", predictions, annotations) or _careful_stats(predictions, annotations)
    return dict(zip(KEYPOINT_SCORES, stats, strict=True))


def _careful_stats(predictions: Path, annotations: Path) -> list[float]:
    """COCO publishes the joints' tolerances for its 17 joints and no others."""
    values = {"keypoints": VALUES}
    truth = read_truth(annotations, {**values, "num_keypoints": 0, "bbox": 4, "area": 0, "iscrowd": 0})
    people = read_predictions(predictions, truth, {**values, "score": 0}, optional={"bbox": 4})
    return coco_stats("keypoints", truth, [_measured(person) for person in people])


def _measured(person: Entry) -> Entry:
    if "bbox" in person:
        _, _, width, height = person["bbox"]
        return {**person, "area": width * height}
    xs, ys = person["keypoints"][0::3], person["keypoints"][1::3]
    return {**person, "area": (max(xs) - min(xs)) * (max(ys) - min(ys))}
