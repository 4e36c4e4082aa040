"""What scores cannot be, whatever the model: a guard between a metric and a published number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from transfer.errors import BrokenRecord, UnknownName

Pairs = tuple[tuple[str, str], ...]

COCO: Pairs = (("AP", "AP50"), ("AP75", "AP50"), ("AR1", "AR10"), ("AR10", "AR100"))

SMALLER_FIRST: Mapping[str, Pairs] = {
    "bbox": COCO,
    "segm": (*COCO, *((f"bbox/{small}", f"bbox/{large}") for small, large in COCO)),
    "keypoints": (("AP", "AP50"), ("AP75", "AP50"), ("AR", "AR50"), ("AR75", "AR50")),
    "voc": (("AP_07", "AP50_07"), ("AP75_07", "AP50_07")),
    "miou": (("mIoU", "mAcc"),),
}
"""Pairs of which the first is never larger: a stricter threshold or fewer detections cannot score higher."""

CLASSES: Mapping[str, Pairs] = {
    "voc": (("AP50", "AP50/"),),
    "miou": (("mIoU", "IoU/"), ("mAcc", "Acc/")),
}
"""Means over classes, and what the names of the classes' own scores begin with."""

SLACK = 0.005
"""Without crowd regions the pairs hold exactly. With them a detection can take an object at a lenient threshold and be
left out, as part of the crowd, at a strict one; on data sets of more than a handful of images that is below this."""


def check_scores(kind: str, scores: Mapping[str, float]) -> None:
    """Raise BrokenRecord when `scores` of a task of `kind` (one of `SMALLER_FIRST`) are impossible.

    Every score is -1 (undefined) or within [0, 1]; pairs that are both present and defined keep their order; a mean is
    within the range of the per-class values beside it.
    """
    if kind not in SMALLER_FIRST:
        raise UnknownName.among("kind of scores", kind, SMALLER_FIRST)
    for name, value in scores.items():
        if not math.isfinite(value) or not (value == -1 or 0 <= value <= 1):
            raise BrokenRecord(f"{kind}: expected {name} within 0 and 1, or -1 if undefined, got {value}.")
    for small, large in SMALLER_FIRST[kind]:
        _check_order(kind, small, large, scores)
    for mean, prefix in CLASSES.get(kind, ()):
        _check_mean(kind, mean, prefix, scores)


def _check_order(kind: str, small: str, large: str, scores: Mapping[str, float]) -> None:
    low, high = scores.get(small, -1), scores.get(large, -1)
    if -1 not in (low, high) and low > high + SLACK:
        raise BrokenRecord(f"{kind}: {small} {low} cannot exceed {large} {high}. Score the saved predictions again.")


def _check_mean(kind: str, name: str, prefix: str, scores: Mapping[str, float]) -> None:
    values = [value for key, value in scores.items() if key.startswith(prefix) and value != -1]
    mean = scores.get(name, -1)
    if values and mean != -1 and not min(values) - SLACK <= mean <= max(values) + SLACK:
        low, high = min(values), max(values)
        raise BrokenRecord(f"{kind}: {name} {mean} lies outside its classes' {low} to {high}. Score again.")
