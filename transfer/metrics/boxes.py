"""Detection: average precision and recall of boxes, as the COCO challenge defines them."""

from __future__ import annotations

from pathlib import Path

from transfer.metrics.coco import Entry, coco_stats, read_predictions, read_truth
from transfer.metrics.hot import hot_stats

BOX_SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def score_boxes(predictions: Path, annotations: Path) -> dict[str, float]:
    """Score COCO results (`image_id`, `category_id`, `bbox` xywh in pixels, `score`) against an annotation file.

    Returns `BOX_SCORES` as shares, equal to pycocotools' COCOeval; -1 where the data set has nothing to find, 0 where
    nothing was found. Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    stats = hot_stats("bbox", predictions, annotations) or _careful_stats(predictions, annotations)
    return dict(zip(BOX_SCORES, stats, strict=True))


def _careful_stats(predictions: Path, annotations: Path) -> list[float]:
    truth = read_truth(annotations, {"bbox": 4, "area": 0, "iscrowd": 0})
    detections = [_measured(entry) for entry in read_predictions(predictions, truth, {"bbox": 4, "score": 0})]
    return coco_stats("bbox", truth, detections)


def _measured(detection: Entry) -> Entry:
    _, _, width, height = detection["bbox"]
    return {**detection, "area": width * height}
