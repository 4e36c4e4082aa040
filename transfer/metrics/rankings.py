"""All detections of a test set in order of score, and which of them are hits: what curves are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.metrics.matching import Pair

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))

Places = Mapping[Any, int]
"""Image ids, and where each image stands in the arrays."""


@dataclass(frozen=True)
class Ranking:
    """D detections of N images and K categories, category after category, best score first, at T thresholds.

    `images` (D,) and `categories` (D,) of them; `hits` (T, D), and `ignored` (T, D), which count neither as hits nor as
    false; `positives` (N, K): objects to be found.
    """

    images: Indices
    categories: Indices
    hits: Bools
    ignored: Bools
    positives: Floats


def rank_pairs(pairs: Sequence[Pair], places: Places) -> Ranking:
    """Rank the detections of matched pairs in the order in which COCOeval accumulates them."""
    images = np.array([places[pair.image] for pair in pairs], np.intp)
    ids, numbers = np.unique([pair.category for pair in pairs], return_inverse=True)
    positives = np.zeros((len(places), len(ids)))
    positives[images, numbers] = [pair.positives for pair in pairs]
    counts = [len(pair.scores) for pair in pairs]
    images, categories = np.repeat(images, counts), np.repeat(numbers, counts)
    scores = np.array([score for pair in pairs for score in pair.scores], np.float64)
    order = np.lexsort((-scores, categories))  # stable
    hits, ignored = joined(pair.hits for pair in pairs), joined(pair.ignored for pair in pairs)
    return Ranking(images[order], categories[order], hits[:, order], ignored[:, order], positives)


def joined(tables: Iterable[Bools]) -> Bools:
    """Return the (T, D) table of all tables (T, d), also of none."""
    return np.concatenate([np.zeros((len(THRESHOLDS), 0), bool), *tables], axis=1)
