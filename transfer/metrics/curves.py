"""Precision and recall of a test set whose images count several times, without looking at a prediction again.

N images, K categories, D detections, T thresholds, H hits of all thresholds and categories
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer.metrics.rankings import Ranking

Floats = NDArray[np.float64]
Points = tuple[Floats, Floats]
"""Recall and precision (H,) right after each hit, curve after curve."""

ROUNDING = 1e-9
"""More than rounding moves a recall by, less than recalls of different counts are apart."""


class Curves:
    """A ranking's curves, one for each threshold and category, for any weights of the images.

    Precision only falls between two hits, so the best at some recall or above is that of a hit: as many points as there
    are objects say as much as ten times as many detections. Sums run through all curves in one array; what was there
    where a curve begins is taken off.
    """

    def __init__(self, ranking: Ranking) -> None:
        (thresholds, detections), categories = ranking.hits.shape, ranking.positives.shape[1]
        self.shape = thresholds, categories
        self.images, self.to_find = ranking.images, ranking.positives
        row, self.ranks = np.nonzero(ranking.hits)  # in order of threshold, category, rank
        self.hit_images = ranking.images[self.ranks]
        self.curves = row * categories + ranking.categories[self.ranks]
        self.bounds = np.searchsorted(self.curves, np.arange(thresholds * categories + 1))
        self.lengths = np.diff(self.bounds)
        begins = np.searchsorted(ranking.categories, np.arange(categories))
        self.begins = np.tile(begins, thresholds)
        ignored_row, ignored_ranks = np.nonzero(ranking.ignored)
        self.ignored_images, places = ranking.images[ignored_ranks], ignored_row * detections + ignored_ranks
        self.ignored_before = np.searchsorted(places, row * detections + self.ranks)
        self.ignored_begins = np.searchsorted(places, np.add.outer(np.arange(thresholds) * detections, begins).ravel())

    def positives(self, weights: Floats) -> Floats:
        """(K,) objects to be found, each as often as its image's weight (N,) says."""
        wanted: Floats = weights @ self.to_find
        return wanted

    def points(self, weights: Floats) -> Points:
        """Points of all curves; the recall of nothing is 0."""
        found, counted = _sums(weights[self.hit_images]), _sums(weights[self.images])
        ignored = _sums(weights[self.ignored_images])
        hits = found[1:] - np.repeat(found[self.bounds[:-1]], self.lengths)
        before = np.repeat(counted[self.begins] - ignored[self.ignored_begins], self.lengths)
        tried = counted[self.ranks + 1] - ignored[self.ignored_before] - before
        wanted = np.tile(np.maximum(self.positives(weights), 1), self.shape[0])
        return hits / np.repeat(wanted, self.lengths), hits / (tried + np.spacing(1))

    def means(self, points: Points, recalls: Floats) -> Floats:
        """(T, K) means over `recalls`, evenly from 0 to 1, of the best precision at that recall or above."""
        recall, precision = points
        best = np.zeros((len(self.lengths), len(recalls)))
        cells = self.curves * len(recalls) + _reached(recall, recalls)  # ascending
        first = np.flatnonzero(np.diff(cells, prepend=-1))
        best.flat[cells[first]] = np.maximum.reduceat(precision, first) if len(first) else 0
        means: Floats = np.maximum.accumulate(best[:, ::-1], axis=1).mean(axis=1)
        return means.reshape(self.shape)

    def areas(self, points: Points) -> Floats:
        """(K,) areas under the first threshold's curves."""
        cuts = self.bounds[1 : self.shape[1]]
        end = self.bounds[self.shape[1]]
        return np.array([area(*pair) for pair in zip(*(np.split(each[:end], cuts) for each in points), strict=True)])


def area(recall: Floats, precision: Floats) -> float:
    """Area under the precision that is never exceeded at a higher recall (VOC 2010 and later)."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _sums(values: Floats) -> Floats:
    """(n + 1,) sums of the first 0, 1, ... n values."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _reached(recall: Floats, recalls: Floats) -> NDArray[np.intp]:
    """The last of evenly spaced `recalls` that is not above each `recall`, as floats compare."""
    places = (recall * (len(recalls) - 1) + ROUNDING).astype(np.intp)
    places -= recalls[places] > recall
    return places
