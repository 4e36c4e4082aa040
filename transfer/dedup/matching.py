"""Match shards with test images: which corpus images show what a test image shows. Pure, so it runs anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transfer.dedup.hashing import CANDIDATE, DUPLICATE, TRANSFORMS, Hashed, distances, join_hashed, variants
from transfer.dedup.local import Codes, LocalSearch
from transfer.dedup.search import HashSearch, Hits, find_equal, find_undecidable
from transfer.dedup.shards import Shard

Verdict = Literal["duplicate", "candidate", "undecidable", "rejected"]

COSINE = 0.75
"""Least cosine of two descriptors of one picture: SSCD's published operating point (Pizzi et al., CVPR 2022)."""

REPORTED_COSINES = (0.6, 0.75, 0.95)
"""Cosines at which images are counted: DINOv2's curation, SSCD's, FineVision's."""

DESCRIBED, SHARED = 2048, 1024
"""Corpus rows whose descriptors, and whose local features, are compared at a time: bounds the memory."""

MOST_LISTED = 1000
"""Most pairs that are listed of a test image: what a corpus holds a million times needs no million witnesses."""

MOST_ALIKE = 20
"""Most pairs that DESCRIBED rows may give for a test image by descriptor alone, the most alike: what resembles
everything is poor evidence."""


@dataclass(frozen=True)
class Images:
    """N images: `names` (set or source, name), (N, 32) `sha256` of their bytes, hashes, and where the index has them
    (N, D) `descriptors` and codes of local `features`.
    """

    names: tuple[Name, ...]
    sha256: NDArray[np.uint8]
    hashed: Hashed
    descriptors: NDArray[np.float16] | None = None
    features: tuple[Codes, ...] | None = None


Name = tuple[str, str]
"""The set or source of an image, and its name there."""


@dataclass(frozen=True)
class Match:
    """A test image and a corpus image that look alike, by name and SHA-256 of their bytes, and what says so.

    `distance` counts differing bits of 256, after `transform` of the test image; `cosine` is that of the descriptors
    and `similarity` of the pixels, None where they were not compared. `evidence` decided the verdict: `bytes`, `hash`,
    `descriptor`, `parts` or `pixels`.
    """

    test: Name
    test_sha256: str
    corpus: Name
    corpus_sha256: str
    distance: int
    transform: str
    verdict: Verdict
    evidence: str
    cosine: float | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class Search:
    """A search to be handed to any number of workers: test images and operating points."""

    tests: Images
    duplicate: int = DUPLICATE
    candidate: int = CANDIDATE
    cosine: float = COSINE

    @cached_property
    def decidable(self) -> NDArray[np.int64]:
        """Rows of the test images that the hash can tell."""
        return np.flatnonzero(self.tests.hashed.decidable)

    @cached_property
    def by_hash(self) -> HashSearch:
        """The search for decidable rows, built once in each process."""
        return HashSearch(self.tests.hashed.hashes[self.decidable], self.candidate)

    @cached_property
    def by_features(self) -> LocalSearch:
        """The search for shared local features, built likewise: of test images of equal bytes one votes for all."""
        features = self.tests.features or ()
        return LocalSearch([features[rows[0]] for rows in self.equal])

    @cached_property
    def equal(self) -> list[list[int]]:
        """Rows of the test images, those of equal bytes together."""
        rows: dict[bytes, list[int]] = {}
        for row, digest in enumerate(self.tests.sha256):
            rows.setdefault(digest.tobytes(), []).append(row)
        return list(rows.values())

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what each process builds for itself."""
        built = ("decidable", "by_hash", "by_features", "equal")
        return {key: value for key, value in vars(self).items() if key not in built}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


NOWHERE: tuple[frozenset[tuple[str, str]], ...] = (frozenset(),) * len(REPORTED_COSINES)
"""No test image has a neighbour at any of the cosines."""


@dataclass(frozen=True)
class Found:
    """Matches, the test images with a neighbour at each of `REPORTED_COSINES`, and what became of further matches.

    So many are `unlisted`, though they count, and so many candidates were `rejected` by their pixels.
    """

    matches: tuple[Match, ...]
    close: tuple[frozenset[Name], ...] = NOWHERE
    unlisted: int = 0
    rejected: int = 0


def join_shards(shards: Iterable[tuple[str, Shard]]) -> Images:
    """Join the images of several (owner, shard). Those without a hash are not among them."""
    pairs = list(shards)
    names = tuple((owner, name) for owner, shard in pairs for name in shard.names)
    held = [shard for _, shard in pairs]
    none = np.empty((0, 32), np.uint8)
    described = [shard.descriptors for shard in held if shard.descriptors is not None]
    coded = [shard.features for shard in held if shard.features is not None]
    return Images(
        names,
        np.concatenate([none, *(shard.sha256 for shard in held)]),
        join_hashed(shard.hashed for shard in held),
        np.concatenate(described) if described else None,
        tuple(chain.from_iterable(coded)) if coded else None,
    )


def find_matches(search: Search, corpus: Images) -> Found:
    """Return all matches in some images of a corpus, each pair once, in the order of (test, corpus) rows."""
    matches = {(row, at): match for row, at, match in (*_by_hash(search, corpus), *_undecidable(search, corpus))}
    close = [set[Name]() for _ in REPORTED_COSINES]
    for start, cosines in _cosines(search, corpus):
        for names, least in zip(close, REPORTED_COSINES, strict=True):
            names.update(search.tests.names[row] for row in np.flatnonzero((cosines >= least).any(axis=1)))
        for row, near in _alike(cosines, search.cosine):
            known = matches.get((row, start + near)) or _likely(search, corpus, row, start + near, 0, "descriptor")
            matches[row, start + near] = replace(known, cosine=round(float(cosines[row, near]), 4))
    for row, at, transform in _sharing(search, corpus):
        matches.setdefault((row, at), _likely(search, corpus, row, at, transform, "parts"))
    for row, at in zip(*map(np.ndarray.tolist, find_equal(search.tests.sha256, corpus.sha256)), strict=True):
        equal = _match(search, corpus, row, at, 0, 0, "duplicate", "bytes")
        matches[row, at] = replace(equal, cosine=matches[row, at].cosine) if (row, at) in matches else equal
    return Found(tuple(matches[pair] for pair in sorted(matches)), tuple(map(frozenset, close)))


def join_found(parts: Iterable[Found]) -> Found:
    """Join what was found in all parts of a corpus, in any order; of each test image the `MOST_LISTED` nearest."""
    nearest: dict[Name, list[Match]] = {}
    close, unlisted, rejected = [frozenset[Name]() for _ in REPORTED_COSINES], 0, 0
    for part in parts:
        close = [names | more for names, more in zip(close, part.close, strict=True)]
        unlisted, rejected = unlisted + part.unlisted + len(part.matches), rejected + part.rejected
        for match in part.matches:
            listed = nearest.setdefault(match.test, [])
            listed.append(match)
            if len(listed) >= 2 * MOST_LISTED:
                _keep_nearest(listed)
    for listed in nearest.values():
        _keep_nearest(listed)
    matches = tuple(match for _, listed in sorted(nearest.items()) for match in listed)
    return Found(matches, tuple(close), unlisted - len(matches), rejected)


def _keep_nearest(matches: list[Match]) -> None:
    """Sort in an order that depends on the pairs alone, duplicates first, then by distance, and cut."""
    matches.sort(key=lambda match: (match.verdict != "duplicate", match.distance, match.corpus))
    del matches[MOST_LISTED:]


Placed = tuple[int, int, Match]


def _by_hash(search: Search, corpus: Images) -> Iterator[Placed]:
    rows = np.flatnonzero(corpus.hashed.decidable)
    hits = search.by_hash.find(corpus.hashed.hashes[rows])
    for row, at, distance, transform in _each(hits):
        verdict: Verdict = "duplicate" if distance <= search.duplicate else "candidate"
        row, at = int(search.decidable[row]), int(rows[at])
        yield row, at, _match(search, corpus, row, at, distance, transform, verdict, "hash")


def _undecidable(search: Search, corpus: Images) -> Iterator[Placed]:
    for row, at, distance, transform in _each(find_undecidable(search.tests.hashed, corpus.hashed)):
        yield row, at, _match(search, corpus, row, at, distance, transform, "undecidable", "hash")


def _sharing(search: Search, corpus: Images) -> Iterator[tuple[int, int, int]]:
    """Yield (test, corpus) rows of images that share local features, and the transform under which they do."""
    if search.tests.features is None or corpus.features is None:
        return
    for start in range(0, len(corpus.features), SHARED):
        votes = search.by_features.find(corpus.features[start : start + SHARED])
        for test, at, transform in zip(
            *(each.tolist() for each in (votes.test, votes.corpus, votes.transform)), strict=True
        ):
            yield from ((row, start + at, transform) for row in search.equal[test])


def _likely(search: Search, corpus: Images, row: int, at: int, transform: int, evidence: str) -> Match:
    """Make a pair that is to be looked at, though the hashes differ."""
    transformed = variants(search.tests.hashed.hashes[row : row + 1])[transform]
    distance = int(distances(transformed, corpus.hashed.hashes[at : at + 1])[0])
    return _match(search, corpus, row, at, distance, transform, "candidate", evidence)


def _each(hits: Hits) -> Iterator[tuple[int, int, int, int]]:
    columns = (hits.test, hits.corpus, hits.distance, hits.transform)
    return zip(*(column.tolist() for column in columns), strict=True)


def _match(
    search: Search, corpus: Images, row: int, at: int, distance: int, transform: int, verdict: Verdict, evidence: str
) -> Match:
    ours, theirs = (side.sha256[place].tobytes().hex() for side, place in ((search.tests, row), (corpus, at)))
    names = search.tests.names[row], corpus.names[at]
    return Match(names[0], ours, names[1], theirs, distance, TRANSFORMS[transform], verdict, evidence)


def _cosines(search: Search, corpus: Images) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield a first corpus row and (T, n) cosines of n rows, if both sides have descriptors of length 1."""
    if search.tests.descriptors is None or corpus.descriptors is None:
        return
    tests = search.tests.descriptors.astype(np.float32)
    for start in range(0, len(corpus.descriptors), DESCRIBED):
        yield start, tests @ corpus.descriptors[start : start + DESCRIBED].astype(np.float32).T


def _alike(cosines: NDArray[np.float32], least: float) -> Iterator[tuple[int, int]]:
    """Yield (test, corpus) rows at `least` or above, for each test image the `MOST_ALIKE` nearest."""
    for row in np.flatnonzero(cosines.max(axis=1, initial=-1) >= least).tolist():
        near = np.argsort(-cosines[row], kind="stable")[:MOST_ALIKE]
        yield from ((row, int(at)) for at in near if cosines[row, at] >= least)
