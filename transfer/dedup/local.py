"""Find images that share a part by binary codes of local features, for copies that a global hash cannot see.

A crop, a border or a rotation by a few degrees changes a global hash beyond recognition and few of these codes: signs
of random projections (Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002) of SIFT
descriptors (Lowe, IJCV 2004). Projections come in mirrored pairs, so that the codes of an image yield those of its
mirror image. What is found here is a candidate only: `verifying.similarity` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
"""(K, 32): 256 bits of each of K features of an image."""

Indices = NDArray[np.int64]

VERSION = "sift-anms-sign256-side128-1"
"""Name of the codes. Codes of different versions are never compared."""

LONGEST = 128
"""Longest side at which features are sought, pixels; 160 and 192 find as much and cost more."""

MOST, MOST_TEST = 64, 128
"""Features of a corpus image, and of a test image, of which there are few: 64 find half as many crops to 10 %."""

DETECTED, CONTRAST = 256, 0.01
"""Strongest points among which features are chosen, and the least contrast of one, a quarter of OpenCV's default."""

RADIUS = 38
"""Bits of 256 by which two codes of one feature may differ: 32 finds fewer, 44 three times as many false pairs."""

LEAST_VOTES = 1.6
"""Votes that make a pair worth verifying. Of 78 COCO and flower photographs all are found after crops to 50 % of the
area and rotations by 45 degrees, 95 % and 60 % after crops to 20 and 10 %; with 0.02 false pairs an altered image
among 384 test images, none an unaltered one."""

MOST_PAIRS = 10
"""Test images that a corpus image may be paired with, those of the most votes."""

CELL, PROBES = 512, 64
"""Codes in a cell of the index, and cells searched: all of 128 test images; of 5,000, 99.8 % of what is near."""

BITS, GRID, DIRECTIONS = 256, 4, 8
"""Bits of a code; and the sides of a SIFT descriptor, whose 128 values are 4 rows, 4 columns, and 8 directions."""


def _projections() -> NDArray[np.float32]:
    """Return (128, 256): random directions, blind to the overall strength of each gradient direction; and mirrored."""
    stream = np.random.RandomState(0)  # frozen by NEP 19, as default_rng is not
    random = stream.standard_normal((BITS // 2, GRID, GRID, DIRECTIONS))
    centred = random - random.mean(axis=(1, 2), keepdims=True)
    mirrored = centred[:, ::-1][..., -np.arange(DIRECTIONS)]
    return np.concatenate([centred, mirrored]).reshape(BITS, -1).T.astype(np.float32)


PROJECTIONS = _projections()

NONE: Codes = np.empty((0, BITS // 8), np.uint8)
"""The codes of an image without features."""


def features(grey: NDArray[np.uint8], most: int = MOST) -> Codes:
    """Return (K, 32) codes of at most `most` points of an `(H, W)` grey image, strong and well spread ones first."""
    scale = LONGEST / max(grey.shape)
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(grey, (width, height), interpolation=way)
    detector = cv2.SIFT.create(DETECTED, contrastThreshold=CONTRAST)
    points = _spread(detector.detect(image, None))[:most]
    return _code(detector.compute(image, points)[1]) if points else NONE


def mirrored(codes: Codes) -> Codes:
    """Return (K, 32) codes of the same features in the image flipped left to right: the halves change places."""
    return np.roll(codes, BITS // 16, axis=1)


@dataclass(frozen=True)
class Votes:
    """Pairs: `test` and `corpus` rows (P,), `votes` (P,), and number of the `transform` (P,), 0 `none` or 1 `flip`."""

    test: Indices
    corpus: Indices
    votes: NDArray[np.float64]
    transform: Indices


class LocalSearch:
    """Finds images of a corpus that share features with some of T test images, given as T arrays of codes.

    A feature of a corpus image has one vote, which all test images within `RADIUS` bits of it share: what is common
    says little. The cells of the index lie around test codes taken at regular steps, so that nothing is trained.
    """

    def __init__(self, tests: Sequence[Codes]) -> None:
        codes, owners = _join(tests)
        self._images = len(tests)
        self._owners = np.concatenate([owners, owners + self._images])
        both = np.concatenate([codes, mirrored(codes)])
        self._centres = faiss.IndexBinaryFlat(BITS)
        self._centres.add(both[::CELL])
        self._index = faiss.IndexBinaryIVF(self._centres, BITS, self._centres.ntotal)
        self._index.nprobe = min(PROBES, self._centres.ntotal)
        self._index.add(both)

    def find(self, corpus: Sequence[Codes]) -> Votes:
        """Return pairs of at least `LEAST_VOTES` among N corpus images, in the order of (corpus, most votes, test)."""
        codes, owners = _join(corpus)
        if not len(codes) or not len(self._owners):
            return Votes(none := np.empty(0, np.int64), none, np.empty(0), none)
        limits, _, found = self._index.range_search(codes, RADIUS + 1)  # faiss says <
        voters = np.repeat(np.arange(len(codes)), np.asarray(limits[1:] - limits[:-1], np.int64))
        voter, image = np.unique(np.stack([voters, self._owners[found]]), axis=1)
        shares = 1 / np.bincount(voter)[voter]
        pairs, place = np.unique(np.stack([owners[voter], image]), axis=1, return_inverse=True)
        votes = np.asarray(np.bincount(place, shares), np.float64)
        return _best(Votes(pairs[1] % self._images, pairs[0], votes, pairs[1] // self._images))


def _best(pairs: Votes) -> Votes:
    """Select pairs with enough votes: two images once with the better transform, the first few of a corpus image."""
    order = np.lexsort((pairs.transform, pairs.test, -pairs.votes, pairs.corpus))
    order = order[pairs.votes[order] >= LEAST_VOTES]
    _, first = np.unique(np.stack([pairs.corpus[order], pairs.test[order]]), axis=1, return_index=True)
    order = order[np.sort(first)]
    corpus = pairs.corpus[order]
    order = order[np.arange(len(order)) - np.searchsorted(corpus, corpus) < MOST_PAIRS]
    return Votes(pairs.test[order], pairs.corpus[order], pairs.votes[order], pairs.transform[order])


def _join(images: Sequence[Codes]) -> tuple[Codes, Indices]:
    """Return all codes, and for each the row of its image."""
    return np.concatenate([NONE, *images]), np.repeat(np.arange(len(images)), [len(each) for each in images])


def _spread(points: Sequence[cv2.KeyPoint]) -> list[cv2.KeyPoint]:
    """Sort points by their distance from any stronger one, the farthest first.

    Adaptive non-maximal suppression (Brown, Szeliski and Winder, "Multi-Image Matching using Multi-Scale Oriented
    Patches", CVPR 2005): writing over an image cannot take all of its features.
    """
    if not points:
        return []
    strong = sorted(points, key=lambda point: -point.response)
    across, down = np.array([point.pt for point in strong], np.float32).T
    apart = np.subtract.outer(across, across) ** 2 + np.subtract.outer(down, down) ** 2
    apart[np.triu_indices(len(strong))] = np.inf
    return [strong[row] for row in np.argsort(-apart.min(axis=1), kind="stable")]


def _code(descriptors: NDArray[Any]) -> Codes:
    """Return (K, 32) signs of projected square roots of (K, 128) descriptors.

    Arandjelović and Zisserman, CVPR 2012.
    """
    return np.packbits(np.sqrt(descriptors) @ PROJECTIONS > 0, axis=1)
