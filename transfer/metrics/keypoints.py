"""Pose: average precision and recall over object keypoint similarity, as the COCO challenge defines them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.metrics.coco import Measured, coco_engine, coco_stats, loaded_area, read_predictions, read_truth
from transfer.metrics.coco_types import JOINTS, VALUES
from transfer.metrics.hotcoco import hot_stats
from transfer.metrics.matching import match_coco
from transfer.metrics.metric import Files, Metric, Rescorer, Scores
from transfer.metrics.rescoring import HEADLINE, coco_rescorer
from transfer.metrics.results_file import RESULTS_FILE

KEYPOINT_SCORES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def score_keypoints(predictions: Path, annotations: Path) -> Scores:
    """Score COCO results (`image_id`, `category_id`, `keypoints` 17 × (x, y, score), `score`) against annotations.

    Returns `KEYPOINT_SCORES` as shares, equal to pycocotools' COCOeval; -1 where the data set has nothing to find, 0
    where nothing was found. A person's size is that of its `bbox` (xywh) if the results have one, of the box around its
    predicted joints if not, as pycocotools' loadRes measures it.
    Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    stats = hot_stats(JOINTS, predictions, annotations)
    stats = stats or coco_stats(coco_engine(JOINTS, _read(predictions, annotations)))
    return dict(zip(KEYPOINT_SCORES, stats, strict=True))


def _read(predictions: Path, annotations: Path) -> Measured:
    """COCO publishes the joints' tolerances for its 17 joints and no others."""
    values = {"keypoints": VALUES}
    truth = read_truth(annotations, {**values, "num_keypoints": 0, "bbox": 4, "area": 0, "iscrowd": 0})
    people = read_predictions(predictions, truth, {**values, "score": 0}, optional={"bbox": 4})
    return Measured(truth, [{**person, "area": loaded_area(person)} for person in people])


def _evaluate(files: Files) -> Scores:
    return score_keypoints(files.predictions, files.truth)


def _resample(files: Files, names: Sequence[str]) -> Rescorer:
    return coco_rescorer(match_coco(JOINTS, files.predictions, files.truth, _read), files)


METRIC = Metric(
    name="keypoints",
    annotations="keypoints",
    form=RESULTS_FILE,
    definition="COCO keypoint AP, pycocotools 2 definition, given boxes",
    scores=KEYPOINT_SCORES,
    headline=HEADLINE,
    evaluate=_evaluate,
    resample=_resample,
    ordered=(("AP", "AP50"), ("AP75", "AP50"), ("AR", "AR50"), ("AR75", "AR50")),
)
