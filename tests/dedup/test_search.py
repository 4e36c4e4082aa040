from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import faiss
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.dedup.hashing import BITS, DUPLICATE, TEXTURE, Hashed, Hashes, variants
from transfer.dedup.search import DOUBTFUL, HashSearch, Hits, find_equal, find_undecidable, stream

Pairs = dict[tuple[int, int], tuple[int, int]]


def flipped(code: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """`code` (32,) with those bits inverted."""
    mask = np.zeros(BITS, np.uint8)
    mask[bits] = 1
    return code ^ np.packbits(mask)


@st.composite
def sides(draw: st.DrawFn) -> tuple[Hashes, Hashes]:
    """Random test hashes, some equal, and a corpus, some of it turned, somewhat different or exact copies of tests."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tests = rng.integers(0, 256, (4, 32), np.uint8)[draw(st.lists(st.integers(0, 3), max_size=5))]
    planted = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(0, 70)), max_size=8))
    corpus = [rng.integers(0, 256, 32, np.uint8) for _ in range(draw(st.integers(0, 4)))]
    corpus += [
        flipped(variants(tests)[transform, row], rng.choice(BITS, different, replace=False))
        for row, transform, different in planted
        if row < len(tests)
    ]
    return tests, np.array(corpus, np.uint8).reshape(-1, 32)


def brute_force(tests: Hashes, corpus: Hashes, radius: int, turned: bool) -> Pairs:
    """(test, corpus) → least distance and the first transform that has it."""
    codes = variants(tests) if turned else tests[None]
    apart = np.bitwise_count(codes[:, :, None] ^ corpus[None, None]).sum(axis=-1)
    return {
        (row, at): (int(apart[:, row, at].min()), int(apart[:, row, at].argmin()))
        for row in range(len(tests))
        for at in range(len(corpus))
        if apart[:, row, at].min() <= radius
    }


def as_pairs(*hits: Hits) -> Pairs:
    rows = [row for each in hits for row in zip(*map(np.ndarray.tolist, vars(each).values()), strict=True)]
    found = {(test, at): (distance, transform) for test, at, distance, transform in rows}
    assert len(found) == len(rows), "each pair once"
    return found


RADII = st.integers(0, 64)


@settings(max_examples=60, deadline=None)
@given(sides(), RADII, st.booleans())
def test_the_search_finds_what_brute_force_finds(both: tuple[Hashes, Hashes], radius: int, turned: bool) -> None:
    tests, corpus = both
    hits = HashSearch(tests, radius, transforms=turned).find(corpus)
    assert as_pairs(hits) == brute_force(tests, corpus, radius, turned)
    order = list(zip(hits.corpus.tolist(), hits.test.tolist(), strict=True))
    assert order == sorted(order)


@settings(max_examples=60, deadline=None)
@given(sides(), RADII, st.lists(st.integers(0, 12), max_size=3), st.integers(1, 20))
def test_blocks_do_not_change_the_hits(both: tuple[Hashes, Hashes], radius: int, cuts: list[int], block: int) -> None:
    tests, corpus = both
    search = HashSearch(tests, radius)
    at = [0, *sorted(min(cut, len(corpus)) for cut in cuts), len(corpus)]
    parts = [corpus[first:last] for first, last in pairwise(at)]
    assert as_pairs(*stream(search, parts, block)) == as_pairs(search.find(corpus))


@settings(max_examples=60, deadline=None)
@given(sides(), RADII, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_change_the_hits(
    both: tuple[Hashes, Hashes], radius: int, random: Callable[..., None]
) -> None:
    tests, corpus = both
    rows, ats = list(range(len(tests))), list(range(len(corpus)))
    random.shuffle(rows)  # type: ignore[attr-defined]
    random.shuffle(ats)  # type: ignore[attr-defined]
    shuffled = as_pairs(HashSearch(tests[rows], radius).find(corpus[ats]))
    back = {(rows[row], ats[at]): value for (row, at), value in shuffled.items()}
    assert back == as_pairs(HashSearch(tests, radius).find(corpus))


@settings(max_examples=60, deadline=None)
@given(sides(), RADII)
def test_nearest_gives_one_test_image_for_a_row_of_the_corpus(both: tuple[Hashes, Hashes], radius: int) -> None:
    tests, corpus = both
    expected: dict[int, int] = {}
    for (_, at), (distance, _) in brute_force(tests, corpus, radius, True).items():
        expected[at] = min(distance, expected.get(at, distance))
    hits = HashSearch(tests, radius).nearest(corpus)
    assert dict(zip(hits.corpus.tolist(), hits.distance.tolist(), strict=True)) == expected
    codes = variants(tests)[hits.transform, hits.test]
    np.testing.assert_array_equal(np.bitwise_count(codes ^ corpus[hits.corpus]).sum(axis=1), hits.distance)


def test_faiss_excludes_its_radius_and_we_include_ours() -> None:
    code = np.zeros((1, 32), np.uint8)
    corpus = np.stack([flipped(code[0], np.arange(bits)) for bits in (0, 30, 31, 32)])
    index = faiss.IndexBinaryFlat(BITS)
    index.add(code)
    assert index.range_search(corpus, 31)[0].tolist() == [0, 1, 2, 2, 2]
    assert HashSearch(code, 31, transforms=False).find(corpus).distance.tolist() == [0, 30, 31]


def test_many_equal_images_are_all_found() -> None:
    code = np.arange(32, dtype=np.uint8)[None]
    hits = HashSearch(np.repeat(code, 50, axis=0), 0, transforms=False).find(np.repeat(code, 40, axis=0))
    assert len(as_pairs(hits)) == 2000


DIGESTS = st.lists(st.integers(0, 5), max_size=8).map(
    lambda numbers: np.stack([np.r_[[0] * 8, [n // 3], [n] * 23].astype(np.uint8) for n in [*numbers, 0]])[:-1]
)
"""Few different ones, all alike in their first eight bytes."""


@given(DIGESTS, DIGESTS)
def test_equal_bytes_are_the_intersection(test: np.ndarray, corpus: np.ndarray) -> None:
    rows, ats = find_equal(test, corpus)
    found = list(zip(rows.tolist(), ats.tolist(), strict=True))
    expected = {(i, j) for i in range(len(test)) for j in range(len(corpus)) if (test[i] == corpus[j]).all()}
    assert set(found) == expected and len(found) == len(expected)


@st.composite
def textures(draw: st.DrawFn, hashes: Hashes) -> Hashed:
    levels = st.sampled_from((TEXTURE - 1, TEXTURE, DOUBTFUL))
    return Hashed(hashes, np.array(draw(st.lists(levels, min_size=len(hashes), max_size=len(hashes))), np.float32))


@settings(max_examples=60, deadline=None)
@given(sides(), st.data())
def test_every_image_of_little_texture_meets_its_nearest_unless_both_can_be_told(
    both: tuple[Hashes, Hashes], data: st.DataObject
) -> None:
    tests, corpus = (data.draw(textures(side)) for side in both)
    near: dict[int, list[tuple[int, bool]]] = {}
    for (row, at), (distance, _) in brute_force(*both, DUPLICATE, True).items():
        if max(tests.texture[row], corpus.texture[at]) < DOUBTFUL:
            both_told = bool(tests.decidable[row] and corpus.decidable[at])
            near.setdefault(row, []).append((distance, both_told))
    hits = find_undecidable(tests, corpus)
    found = dict(zip(hits.test.tolist(), hits.distance.tolist(), strict=True))
    for row, pairs in near.items():
        least = min(distance for distance, _ in pairs)
        nearest = {told for distance, told in pairs if distance == least}
        assert found.get(row) == least or (row not in found and True in nearest)
    assert found.keys() <= near.keys()
    assert not (tests.decidable[hits.test] & corpus.decidable[hits.corpus]).any()
    codes = variants(tests.hashes)[hits.transform, hits.test]
    np.testing.assert_array_equal(np.bitwise_count(codes ^ corpus.hashes[hits.corpus]).sum(axis=1), hits.distance)
