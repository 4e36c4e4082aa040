"""What scores cannot be, whatever the model: a guard between a metric and a published number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from transfer.errors import BrokenRecord
from transfer.metrics.metric import UNDEFINED, Metric

SLACK = 0.005
"""Without crowd regions the pairs hold exactly. With them a detection can take an object at a lenient threshold and be
left out, as part of the crowd, at a strict one; on data sets of more than a handful of images that is below this."""


def check_scores(metric: Metric, scores: Mapping[str, float]) -> None:
    """Raise BrokenRecord when `scores` of a metric are impossible.

    Every score is -1 (undefined) or within [0, 1]; pairs that are both present and defined keep their order; a mean is
    within the range of the per-class values beside it.
    """
    for name, value in scores.items():
        if not math.isfinite(value) or not (value == UNDEFINED or 0 <= value <= 1):
            raise BrokenRecord(f"{metric.name}: expected {name} within 0 and 1, or -1 if undefined, got {value}.")
    for small, large in metric.ordered:
        _check_order(metric.name, small, large, scores)
    for mean, prefix in metric.means:
        _check_mean(metric.name, mean, prefix, scores)


def _check_order(metric: str, small: str, large: str, scores: Mapping[str, float]) -> None:
    low, high = scores.get(small, UNDEFINED), scores.get(large, UNDEFINED)
    if UNDEFINED not in (low, high) and low > high + SLACK:
        raise BrokenRecord(f"{metric}: {small} {low} cannot exceed {large} {high}. Score the saved predictions again.")


def _check_mean(metric: str, name: str, prefix: str, scores: Mapping[str, float]) -> None:
    values = [value for key, value in scores.items() if key.startswith(prefix) and value != UNDEFINED]
    mean = scores.get(name, UNDEFINED)
    if values and mean != UNDEFINED and not min(values) - SLACK <= mean <= max(values) + SLACK:
        low, high = min(values), max(values)
        raise BrokenRecord(f"{metric}: {name} {mean} lies outside its classes' {low} to {high}. Score again.")
