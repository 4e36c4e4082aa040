"""Detection: average precision and recall of boxes, as the COCO challenge defines them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.metrics.coco import Measured, coco_engine, coco_stats, loaded_area, read_predictions, read_truth
from transfer.metrics.coco_types import BOXES
from transfer.metrics.hotcoco import hot_stats
from transfer.metrics.matching import match_coco
from transfer.metrics.metric import Files, Metric, Pairs, Rescorer, Scores
from transfer.metrics.rescoring import HEADLINE, coco_rescorer
from transfer.metrics.results_file import RESULTS_FILE

BOX_SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")

BOX_ORDER: Pairs = (("AP", "AP50"), ("AP75", "AP50"), ("AR1", "AR10"), ("AR10", "AR100"))
"""A stricter threshold, or fewer detections, cannot score higher."""


def score_boxes(predictions: Path, annotations: Path) -> Scores:
    """Score COCO results (`image_id`, `category_id`, `bbox` xywh in pixels, `score`) against an annotation file.

    Returns `BOX_SCORES` as shares, equal to pycocotools' COCOeval; -1 where the data set has nothing to find, 0 where
    nothing was found. Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    stats = hot_stats(BOXES, predictions, annotations)
    return dict(zip(BOX_SCORES, stats or coco_stats(coco_engine(BOXES, _read(predictions, annotations))), strict=True))


def resample_boxes(files: Files, names: Sequence[str] = ()) -> Rescorer:
    """Prepare `HEADLINE` of boxes for images that count several times. Raises as `score_boxes` does."""
    return coco_rescorer(match_coco(BOXES, files.predictions, files.truth, _read), files)


def _read(predictions: Path, annotations: Path) -> Measured:
    truth = read_truth(annotations, {"bbox": 4, "area": 0, "iscrowd": 0})
    found = read_predictions(predictions, truth, {"bbox": 4, "score": 0})
    return Measured(truth, [{**entry, "area": loaded_area(entry)} for entry in found])


def _evaluate(files: Files) -> Scores:
    return score_boxes(files.predictions, files.truth)


METRIC = Metric(
    name="bbox",
    annotations="boxes",
    form=RESULTS_FILE,
    definition="COCO box AP, pycocotools 2 definition, 100 detections",
    scores=BOX_SCORES,
    headline=HEADLINE,
    evaluate=_evaluate,
    resample=resample_boxes,
    ordered=BOX_ORDER,
)
