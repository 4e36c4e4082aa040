"""Average precision, as COCO defines it, of images that count several times: detections are matched only once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfer.metrics.curves import Curves
from transfer.metrics.matching import Pair
from transfer.metrics.metric import UNDEFINED, Files, Floats, Rescorer, Scores
from transfer.metrics.rankings import rank_pairs
from transfer.metrics.results_file import places_of

HEADLINE = ("AP", "AP50", "AP75")
"""COCO's scores of objects of all sizes."""

COCO_RECALLS = np.linspace(0, 1, 101)
AT_50, AT_75 = 0, 5
"""Where these thresholds stand among 0.5, 0.55, ... 0.95."""


def coco_rescorer(pairs: Sequence[Pair], files: Files) -> Rescorer:
    """Prepare `HEADLINE` of matched detections for any weights of the images of `files`."""
    curves = Curves(rank_pairs(pairs, places_of(files)))

    def rescore(weights: Floats) -> Scores:
        defined = curves.positives(weights) > 0
        precision = curves.means(curves.points(weights), COCO_RECALLS)[:, defined]
        return dict(zip(HEADLINE, map(mean_of, (precision, precision[AT_50], precision[AT_75])), strict=True))

    return rescore


def mean_of(values: Floats) -> float:
    """Return the mean of an array of any shape; undefined if it is empty."""
    return float(values.mean()) if values.size else UNDEFINED
