"""Search exactly, by hash, for test images that look like images of a shard; the small side is in memory.

The test side is indexed and the corpus streamed, so that memory does not grow with the corpus, and shards can be
searched anywhere, in any order, with nothing to bring together but hits (map only, no shuffle).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from transfer.dedup.hashing import BITS, CANDIDATE, DUPLICATE, INVERSE, TEXTURE, Hashed, Hashes, variants

BLOCK = 16_384
"""Corpus rows that are searched together."""

DOUBTFUL = 2 * TEXTURE
"""Texture below which an image may be a copy of one with too little: less contrast is less texture."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Hits:
    """Pairs found: `test` and `corpus` rows (H,), bits of `distance` (H,), and number of the `transform` (H,)."""

    test: Indices
    corpus: Indices
    distance: Indices
    transform: Indices

    def shifted(self, rows: int) -> Hits:
        """Return the same hits with corpus rows counted from `rows` on."""
        return Hits(self.test, self.corpus + rows, self.distance, self.transform)


class HashSearch:
    """Finds rows of a corpus within `radius` bits of T test images in any of their eight positions.

    With `transforms` False only the images as they are are sought. Hits come in the order of (corpus, test); each pair
    once, with its least distance and the first transform that has it.
    """

    def __init__(self, hashes: Hashes, radius: int = CANDIDATE, *, transforms: bool = True) -> None:
        self.images, self.radius = len(hashes), radius
        codes = variants(hashes) if transforms else hashes[None]
        self._index = faiss.IndexBinaryFlat(BITS)
        self._index.add(np.ascontiguousarray(codes.reshape(-1, BITS // 8)))

    def find(self, corpus: Hashes) -> Hits:
        """Return hits among (N, 32) hashes of a corpus."""
        if not self.images or not len(corpus):
            return _hits([np.empty(0, np.int64)] * 4)
        limits, found, codes = self._index.range_search(np.ascontiguousarray(corpus), self.radius + 1)  # faiss says <
        rows = np.repeat(np.arange(len(corpus)), np.asarray(limits[1:] - limits[:-1], np.int64))
        distance, codes = found.astype(np.int64), codes.astype(np.int64)
        test, transform = codes % self.images, codes // self.images
        order = np.lexsort((transform, distance, test, rows))
        pair = np.stack([rows[order], test[order]])
        first = np.ones(len(order), bool)
        first[1:] = (pair[:, 1:] != pair[:, :-1]).any(axis=0)
        return _hits([each[order][first] for each in (test, rows, distance, transform)])

    def nearest(self, corpus: Hashes) -> Hits:
        """Return for each row of a corpus its nearest test image only: bounded, however many are alike."""
        if not self.images or not len(corpus):
            return _hits([np.empty(0, np.int64)] * 4)
        distance, codes = (each[:, 0].astype(np.int64) for each in self._index.search(np.ascontiguousarray(corpus), 1))
        near = distance <= self.radius
        hits = [codes % self.images, np.arange(len(corpus)), distance, codes // self.images]
        return _hits([each[near] for each in hits])


def stream(search: HashSearch, corpus: Iterable[Hashes], block: int = BLOCK) -> Iterator[Hits]:
    """Yield hits in a corpus that comes in arrays (n, 32) of any size; rows are counted over all of them."""
    done = 0
    for hashes in _blocks(corpus, block):
        yield search.find(hashes).shifted(done)
        done += len(hashes)


def find_equal(test: NDArray[np.uint8], corpus: NDArray[np.uint8]) -> tuple[Indices, Indices]:
    """Return (test, corpus) rows of equal bytes: both are (N, 32) SHA-256."""
    known: dict[bytes, list[int]] = {}
    for row, digest in enumerate(test):
        known.setdefault(digest.tobytes(), []).append(row)
    starts = np.unique(np.ascontiguousarray(test[:, :8]).view(np.uint64).ravel())
    likely = np.flatnonzero(np.isin(np.ascontiguousarray(corpus[:, :8]).view(np.uint64).ravel(), starts))
    pairs = [(row, int(at)) for at in likely for row in known.get(corpus[at].tobytes(), ())]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def find_undecidable(tests: Hashed, corpus: Hashed) -> Hits:
    """Return for each test image of little texture the nearest such corpus image, if one has too little.

    Searched the other way round, so that every such test image has its hit, and no more however many are alike.
    """
    rows, tested = (np.flatnonzero(side.texture < DOUBTFUL) for side in (corpus, tests))
    hits = HashSearch(corpus.hashes[rows], DUPLICATE).nearest(tests.hashes[tested])
    found = Hits(tested[hits.corpus], rows[hits.test], hits.distance, np.array(INVERSE)[hits.transform])
    poor = ~(tests.decidable[found.test] & corpus.decidable[found.corpus])
    return _hits([each[poor] for each in (found.test, found.corpus, found.distance, found.transform)])


def _blocks(arrays: Iterable[Hashes], rows: int) -> Iterator[Hashes]:
    """Yield the same rows in arrays of at least `rows`, but for the last."""
    waiting: list[Hashes] = []
    for array in arrays:
        waiting.append(array)
        if sum(map(len, waiting)) >= rows:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _hits(parts: list[Any]) -> Hits:
    return Hits(*parts)
