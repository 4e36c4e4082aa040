"""Pose: average precision and recall over object keypoint similarity, as the COCO challenge defines them."""

from __future__ import annotations

from pathlib import Path

from transfer.metrics.coco import Entry, coco_stats, read_predictions, read_truth

KEYPOINT_SCORES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")

JOINTS = 17
"""Joints of a COCO person; COCO publishes its per-joint tolerances for these and no others."""


def score_keypoints(predictions: Path, annotations: Path) -> dict[str, float]:
    """Score COCO results (`image_id`, `category_id`, `keypoints` 17 × (x, y, score), `score`) against annotations.

    Returns `KEYPOINT_SCORES` as shares, equal to pycocotools' COCOeval; -1 where the data set has nothing to find, 0
    where nothing was found. A person's size is that of the box around its predicted joints; a `bbox` in the results is
    not looked at. Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    values = {"keypoints": 3 * JOINTS}
    truth = read_truth(annotations, {**values, "num_keypoints": 0, "bbox": 4, "area": 0, "iscrowd": 0})
    people = [_measured(entry) for entry in read_predictions(predictions, truth, {**values, "score": 0})]
    return dict(zip(KEYPOINT_SCORES, coco_stats("keypoints", truth, people), strict=True))


def _measured(person: Entry) -> Entry:
    xs, ys = person["keypoints"][0::3], person["keypoints"][1::3]
    return {**person, "area": (max(xs) - min(xs)) * (max(ys) - min(ys))}
