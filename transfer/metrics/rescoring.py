"""Scores of images that count several times: predictions are matched with the truth once, for any weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.metrics.curves import Curves
from transfer.metrics.plain import Kind
from transfer.metrics.rankings import Places, rank_coco, rank_voc
from transfer.metrics.scoring import Scores
from transfer.metrics.semantic import UNDEFINED, count_pairs, score_label_maps

Floats = NDArray[np.float64]
Rescorer = Callable[[Floats], Scores]
"""Scores by the weights (N,) of N images: how often each is in the test set. At 1 they are the scorer's own."""

COCO_SCORES = ("AP", "AP50", "AP75")
PREFIXES: Mapping[Kind, str] = {"segm": "", "bbox": "bbox/"}
"""What the names of `score_instances` begin with, of masks and of the boxes beside them."""

RESCORED: Mapping[str, tuple[str, ...]] = {
    "bbox": COCO_SCORES,
    "segm": tuple(f"{prefix}{name}" for prefix in PREFIXES.values() for name in COCO_SCORES),
    "keypoints": COCO_SCORES,
    "voc": ("AP50", "AP50_07", "AP_07", "AP75_07"),
    "miou": ("mIoU", "aAcc", "mAcc"),
}
"""What a rescorer of each kind says."""

COCO_RECALLS = np.linspace(0, 1, 101)
VOC_RECALLS = np.arange(0, 1.1, 0.1)
AT_50, AT_75 = 0, 5
"""Where these thresholds stand among 0.5, 0.55, ... 0.95."""


def objects_rescorer(kind: str, predictions: Path, truth: Path, places: Places, scores: Sequence[str]) -> Rescorer:
    """Rescores COCO results of `kind` as the stage `score` does, at least to `scores`; image n is that of place n."""
    if kind == "voc":
        return voc_rescorer(predictions, truth, places)
    if kind == "segm":
        return instances_rescorer(predictions, truth, places, scores)
    return coco_rescorer("keypoints" if kind == "keypoints" else "bbox", predictions, truth, places)


def coco_rescorer(kind: Kind, predictions: Path, truth: Path, places: Places) -> Rescorer:
    """Rescores as `score_boxes`, `score_masks` by own areas, or `score_keypoints`; raises what they raise."""
    curves = Curves(rank_coco(kind, predictions, truth, places))

    def rescore(weights: Floats) -> Scores:
        defined = curves.positives(weights) > 0
        precision = curves.means(curves.points(weights), COCO_RECALLS)[:, defined]
        return dict(zip(COCO_SCORES, map(_mean, (precision, precision[AT_50], precision[AT_75])), strict=True))

    return rescore


def instances_rescorer(predictions: Path, truth: Path, places: Places, scores: Sequence[str]) -> Rescorer:
    """Rescores as `score_instances`, masks or boxes alone if `scores` name no others: each takes its time."""
    prefixes = {
        kind: prefix for kind, prefix in PREFIXES.items() if any(("/" in name) == bool(prefix) for name in scores)
    }
    rescorers = {prefix: coco_rescorer(kind, predictions, truth, places) for kind, prefix in prefixes.items()}
    return lambda weights: {
        f"{prefix}{name}": value for prefix, each in rescorers.items() for name, value in each(weights).items()
    }


def voc_rescorer(predictions: Path, truth: Path, places: Places) -> Rescorer:
    """Rescores as `score_voc`; raises what that raises."""
    curves = Curves(rank_voc(predictions, truth, places))

    def rescore(weights: Floats) -> Scores:
        defined, points = curves.positives(weights) > 0, curves.points(weights)
        eleven = curves.means(points, VOC_RECALLS)[:, defined]
        values = curves.areas(points)[defined], eleven[AT_50], eleven, eleven[AT_75]
        return dict(zip(RESCORED["voc"], map(_mean, values), strict=True))

    return rescore


def maps_rescorer(predictions: Path, truth: Path, stems: Sequence[str], classes: Sequence[str]) -> Rescorer:
    """Rescores as `score_label_maps`; raises what that raises. Image n is `stems[n]`."""
    score_label_maps(predictions, truth, stems=stems, classes=classes)  # says what is wrong with the maps
    pairs = ((predictions / f"{stem}.png", truth / f"{stem}.png") for stem in stems)
    counts = np.stack([_class_counts(*pair, len(classes)) for pair in pairs])

    def rescore(weights: Floats) -> Scores:
        hits, labelled, predicted = np.tensordot(weights, counts, 1)
        union = labelled + predicted - hits
        pixels = _shares(hits.sum(keepdims=True), labelled.sum(keepdims=True))
        values = _shares(hits, union), pixels, _shares(hits, labelled)
        return dict(zip(RESCORED["miou"], map(_mean, values), strict=True))

    return rescore


def _class_counts(prediction: Path, truth: Path, classes: int, ignore: int = 255) -> Floats:
    """(3, C) pixels of each class: rightly predicted, in the truth, predicted."""
    with Image.open(truth) as true, Image.open(prediction) as found:
        pairs = count_pairs(np.asarray(true), np.asarray(found))
    pairs[ignore] = 0
    counts = np.stack([pairs.diagonal(), pairs.sum(axis=1), pairs.sum(axis=0)])
    return counts[:, :classes].astype(np.float64)


def _shares(parts: Floats, wholes: Floats) -> Floats:
    """Those that are defined."""
    return parts[wholes > 0] / wholes[wholes > 0]


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else UNDEFINED
