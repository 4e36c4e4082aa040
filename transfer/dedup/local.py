"""Which images share a part? Binary codes of local features, for copies that a hash of the whole image cannot see.

A crop, a border or a turn by a few degrees changes every bit of a global hash and few of these codes: signs of random
projections (Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002) of SIFT descriptors
(Lowe, IJCV 2004). Projections come in mirrored pairs, so codes of the mirrored image follow from those of the image.
What is found here is a candidate: `verifying.similarity` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
"""(K, 32): 256 bits of each of K features of an image; the second half of the bits is the mirrored first half."""

VERSION = "sift-anms-sign256-side128-1"
"""Name of the codes. Codes of different versions are never compared."""

LONGEST = 128
"""Longest side at which features are sought, pixels."""

MOST, MOST_TEST = 64, 128
"""Features of a corpus image, of which there are many, and of a test image, of which there are few."""

DETECTED, CONTRAST = 512, 0.01
"""Strongest points among which features are chosen, and the least contrast of a point (Lowe's D, a quarter of his)."""

RADIUS = 38
"""Bits of 256 by which two codes of one feature may differ."""

LEAST_VOTES = 1.6
"""Votes that make a pair worth verifying."""

MOST_PAIRS = 10
"""Test images that a corpus image may be paired with, those of the most votes."""

BITS, CELLS, DIRECTIONS = 256, 4, 8
"""Of a code; and of a SIFT descriptor, whose 128 numbers are (4, 4, 8): rows, columns, and directions of gradients."""


def _projections() -> NDArray[np.float32]:
    """(128, 256): random directions that ignore how frequent a direction of gradients is, and their mirror images."""
    random = np.random.RandomState(0).standard_normal((BITS // 2, CELLS, CELLS, DIRECTIONS))  # the one frozen stream
    centred = random - random.mean(axis=(1, 2), keepdims=True)
    mirrored = centred[:, ::-1][..., -np.arange(DIRECTIONS)]
    return np.concatenate([centred, mirrored]).reshape(BITS, -1).T.astype(np.float32)


PROJECTIONS = _projections()


def features(grey: NDArray[np.uint8], most: int = MOST) -> Codes:
    """(K, 32) codes of at most `most` points of an `(H, W)` grey image, the strongest and best spread first."""
    scale = LONGEST / max(grey.shape)
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(grey, (width, height), interpolation=way)
    detector = cv2.SIFT.create(DETECTED, contrastThreshold=CONTRAST)
    points = _spread(detector.detect(image, None))[:most]
    return _code(detector.compute(image, points)[1]) if points else np.empty((0, BITS // 8), np.uint8)


def mirrored(codes: Codes) -> Codes:
    """Codes of the same features of the image flipped left to right."""
    return np.roll(codes, BITS // 16, axis=1)


@dataclass(frozen=True)
class Votes:
    """Pairs: `test` and `corpus` rows (P,), `votes` (P,), and the number of the `transform` (P,): 0 none, 1 flip."""

    test: NDArray[np.int64]
    corpus: NDArray[np.int64]
    votes: NDArray[np.float32]
    transform: NDArray[np.int64]


class LocalSearch:
    """Finds images of a corpus that share features with some of T test images, given as T arrays of codes.

    A feature of a corpus image has one vote, shared by the test images that have it.
    """

    def __init__(self, tests: Sequence[Codes]) -> None:
        self.images = len(tests)
        codes = np.concatenate([np.empty((0, BITS // 8), np.uint8), *tests])
        owners = np.repeat(np.arange(self.images), [len(each) for each in tests])
        self._owners = np.concatenate([2 * owners, 2 * owners + 1])
        self._index = faiss.IndexBinaryFlat(BITS)
        self._index.add(np.concatenate([codes, mirrored(codes)]))


def _spread(points: Sequence[cv2.KeyPoint]) -> list[cv2.KeyPoint]:
    """Points in the order of their distance to the nearest stronger one.

    Adaptive non-maximal suppression (Brown, Szeliski and Winder, "Multi-Image Matching using Multi-Scale Oriented
    Patches", CVPR 2005): writing or a busy corner does not take all features of an image.
    """
    order = sorted(points, key=lambda point: -point.response)
    places = np.array([point.pt for point in order], np.float32).reshape(-1, 2)
    apart = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    apart[np.triu_indices(len(order))] = np.inf
    free = apart.min(axis=1, initial=np.inf)
    return [order[row] for row in np.argsort(-free, kind="stable")]


def _code(descriptors: NDArray[np.float32]) -> Codes:
    """(K, 32) signs of the projections of (K, 128) descriptors, after a square root (Arandjelovic, CVPR 2012)."""
    return np.packbits(np.sqrt(descriptors) @ PROJECTIONS > 0, axis=1)
