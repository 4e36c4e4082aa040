"""Semantic segmentation: intersection over union from one confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.errors import BadOption, BrokenAnnotation, BrokenPredictions, CorruptImage, DataError, MissingData

Counts = NDArray[np.int64]
LabelMap = NDArray[np.uint8]

UNDEFINED = -1.0
"""Score of a class, or a mean over classes, that nothing defines."""


def score_label_maps(
    predictions: Path, truth: Path, *, stems: Sequence[str], classes: Sequence[str], ignore: int = 255
) -> dict[str, float]:
    """Score `<stem>.png` of `predictions` against the same names in `truth`; both (H, W) uint8 class indices.

    Returns shares: `mIoU`, `aAcc` (all pixels), `mAcc` (mean over classes), `IoU/<class>` and `Acc/<class>`. Pixels
    whose truth is `ignore` do not count, whatever is predicted there. A class in neither truth nor prediction is left
    out of `mIoU`, one not in truth out of `mAcc`; its own score is -1. Raises BrokenPredictions, BrokenAnnotation,
    MissingData or CorruptImage.
    """
    _check_options(stems, classes, ignore)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    for stem in stems:
        paths = predictions / f"{stem}.png", truth / f"{stem}.png"
        confusion += _compare(*paths, len(classes), ignore)
    return scores_of(confusion, classes)


def scores_of(confusion: Counts, classes: Sequence[str]) -> dict[str, float]:
    """Scores of a (C, C) confusion matrix whose rows are the truth."""
    hits, labelled, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    ious, accuracies = _shares(hits, labelled + predicted - hits), _shares(hits, labelled)
    return {
        "mIoU": _mean(ious),
        "aAcc": _shares(hits.sum(keepdims=True), labelled.sum(keepdims=True))[0],
        "mAcc": _mean(accuracies),
        **{f"IoU/{name}": iou for name, iou in zip(classes, ious, strict=True)},
        **{f"Acc/{name}": accuracy for name, accuracy in zip(classes, accuracies, strict=True)},
    }


def count_pairs(truth: LabelMap, prediction: LabelMap) -> Counts:
    """(256, 256) counts of (true, predicted) pairs: both bytes make one 16-bit number, which bincount counts."""
    pairs = truth.astype(np.uint16) << 8 | prediction
    return np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256)


def _compare(prediction: Path, truth: Path, classes: int, ignore: int) -> Counts:
    true = _read(truth, MissingData, CorruptImage, BrokenAnnotation)
    found = _read(prediction, BrokenPredictions, BrokenPredictions, BrokenPredictions)
    if found.shape != true.shape:
        raise BrokenPredictions(f"{prediction}: expected {_size(true)} pixels as in {truth}, got {_size(found)}.")
    pairs = count_pairs(true, found)
    pairs[ignore] = 0
    _check_labels(prediction, pairs.sum(axis=0), classes, BrokenPredictions)
    _check_labels(truth, pairs.sum(axis=1), classes, BrokenAnnotation)
    return pairs[:classes, :classes]


def _read(path: Path, missing: type[DataError], corrupt: type[DataError], odd: type[DataError]) -> LabelMap:
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except FileNotFoundError as reason:
        raise missing(f"{path}: expected a label map, found no file. Check that it was written here.") from reason
    except (OSError, SyntaxError, ValueError) as reason:  # Pillow raises SyntaxError on a damaged PNG chunk
        raise corrupt(f"{path}: the label map cannot be decoded: {reason}. Write or download it again.") from reason
    if mode not in ("L", "P"):
        raise odd(f"{path}: expected an 8-bit PNG of class indices (mode L or P), got mode {mode}.")
    return pixels


def _check_options(stems: Sequence[str], classes: Sequence[str], ignore: int) -> None:
    if not 0 <= ignore <= 255:
        raise BadOption(f"expected an ignored label within 0 and 255, got {ignore}.")
    if not stems:
        raise BadOption("expected at least one label map to score, got none.")
    if not (all(classes) and 0 < len(set(classes)) == len(classes) <= 256):
        raise BadOption(f"expected 1 to 256 different class names, got {len(classes)} ({len(set(classes))} different).")


def _check_labels(path: Path, counts: Counts, classes: int, error: type[DataError]) -> None:
    if (beyond := np.flatnonzero(counts[classes:])).size:
        label = classes + int(beyond[0])
        raise error(f"{path}: expected labels 0 to {classes - 1}, got {label} in {counts[label]} pixels.")


def _size(pixels: LabelMap) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"


def _shares(parts: Counts, wholes: Counts) -> list[float]:
    return [int(part) / int(whole) if whole else UNDEFINED for part, whole in zip(parts, wholes, strict=True)]


def _mean(shares: list[float]) -> float:
    defined = [share for share in shares if share != UNDEFINED]
    return sum(defined) / len(defined) if defined else UNDEFINED
