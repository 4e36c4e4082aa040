"""Semantic segmentation: intersection over union from counted pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from transfer.metrics.label_maps import LABEL_MAPS, Counts, read_pair, stems_of
from transfer.metrics.metric import UNDEFINED, Files, Floats, Metric, Rescorer, Scores

Count = Callable[[Files, str], Counts]
"""Files and the stem of a label map → (3, C) pixels of each class: rightly predicted, in the truth, predicted."""

ScoresOf = Callable[[Floats | Counts, Sequence[str]], Scores]


def score_label_maps(files: Files) -> Scores:
    """Score `<stem>.png` of the predictions against the same names in the truth; both (H, W) uint8 class indices.

    Returns shares: `mIoU`, `aAcc` (all pixels), `mAcc` (mean over classes), `IoU/<class>` and `Acc/<class>`. Pixels
    whose truth is `ignore` do not count, whatever is predicted there. A class in neither truth nor prediction is left
    out of `mIoU`, one not in truth out of `mAcc`; its own score is -1. Raises BrokenPredictions, BrokenAnnotation,
    MissingData or CorruptImage.
    """
    return score_counts(files, _count, scores_of)


def scores_of(counts: Floats | Counts, classes: Sequence[str]) -> Scores:
    """Return the scores of (3, C) pixels of each class."""
    hits, labelled, _ = counts
    ious, accuracies = class_ious(counts), _shares(hits, labelled)
    return {
        "mIoU": mean_of(ious),
        "aAcc": _shares(hits.sum(keepdims=True), labelled.sum(keepdims=True))[0],
        "mAcc": mean_of(accuracies),
        **{f"IoU/{name}": iou for name, iou in zip(classes, ious, strict=True)},
        **{f"Acc/{name}": accuracy for name, accuracy in zip(classes, accuracies, strict=True)},
    }


def class_ious(counts: Floats | Counts) -> list[float]:
    """Return the intersection over union of each class by (3, C) pixels; -1 for a class without any."""
    hits, labelled, predicted = counts
    return _shares(hits, labelled + predicted - hits)


def count_classes(pairs: Counts) -> Counts:
    """Count pixels by class, (3, N) of (N, N) pairs: rightly predicted, in the truth, predicted."""
    return np.stack([pairs.diagonal(), pairs.sum(axis=1), pairs.sum(axis=0)])


def score_counts(files: Files, count: Count, scores: ScoresOf) -> Scores:
    """Score the sum of what is counted in every label map."""
    return scores(sum((count(files, stem) for stem in stems_of(files)), np.zeros((), np.int64)), files.classes)


def resample_counts(files: Files, count: Count, scores: ScoresOf) -> Rescorer:
    """Count every label map once, and score sums of these counts by any weights."""
    counts = np.stack([count(files, stem) for stem in stems_of(files)]).astype(np.float64)
    return lambda weights: scores(np.tensordot(weights, counts, 1), files.classes)


def _resample(files: Files, names: Sequence[str]) -> Rescorer:
    return resample_counts(files, _count, scores_of)


def _count(files: Files, stem: str) -> Counts:
    return count_classes(read_pair(files, stem).pairs)[:, : len(files.classes)]


def _shares(parts: Floats | Counts, wholes: Floats | Counts) -> list[float]:
    pairs = zip(parts.tolist(), wholes.tolist(), strict=True)
    return [part / whole if whole else UNDEFINED for part, whole in pairs]


def mean_of(shares: Sequence[float]) -> float:
    """Return the mean of the defined shares, summed in their order: the last digit is the same everywhere."""
    defined = [share for share in shares if share != UNDEFINED]
    return sum(defined) / len(defined) if defined else UNDEFINED


METRIC = Metric(
    name="miou",
    annotations="label_maps",
    form=LABEL_MAPS,
    definition="mean IoU over classes present, one confusion matrix, 255 ignored",
    scores=("mIoU", "aAcc", "mAcc"),
    headline=("mIoU", "aAcc", "mAcc"),
    evaluate=score_label_maps,
    resample=_resample,
    ordered=(("mIoU", "mAcc"),),
    means=(("mIoU", "IoU/"), ("mAcc", "Acc/")),
)
