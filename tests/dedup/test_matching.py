from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dedup.conftest import fill, make_index
from transfer.dedup.hashing import BITS, CANDIDATE, DUPLICATE, TEXTURE, TRANSFORMS, Hashed, variants
from transfer.dedup.index import read_shard
from transfer.dedup.matching import (
    MOST_ALIKE,
    MOST_LISTED,
    NOWHERE,
    REPORTED_COSINES,
    Found,
    Images,
    Match,
    Search,
    find_matches,
    join_found,
    join_shards,
)

DECIDED = ("duplicate", "candidate")
GRAVITY = ("duplicate", "candidate", "undecidable", "rejected")


@dataclass(frozen=True)
class Files:
    """F files: what their bytes make of them."""

    sha256: np.ndarray
    hashes: np.ndarray
    texture: np.ndarray
    descriptors: np.ndarray

    def images(self, owner: str, chosen: Sequence[int], described: bool = False) -> Images:
        """Some of them, or copies of one, as the images of a set or source, each of a name of its own."""
        rows = np.array(chosen, np.int64)
        names = tuple((owner, f"{at}-{file}") for at, file in enumerate(chosen))
        hashed = Hashed(self.hashes[rows], self.texture[rows])
        return Images(names, self.sha256[rows], hashed, self.descriptors[rows] if described else None)


@st.composite
def pools(draw: st.DrawFn, poor: bool = True) -> Files:
    """Files that show one of two pictures, turned and changed by up to 70 bits; with `poor` some have no texture."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bases = variants(rng.integers(0, 256, (2, 32), np.uint8))
    kinds = st.tuples(
        st.integers(0, 1), st.integers(0, 7), st.integers(0, 70), st.booleans() if poor else st.just(True)
    )
    shown = draw(st.lists(kinds, min_size=1, max_size=6))
    hashes = []
    for base, transform, changed, _ in shown:
        mask = np.zeros(BITS, np.uint8)
        mask[rng.choice(BITS, changed, replace=False)] = 1
        hashes.append(bases[transform, base] ^ np.packbits(mask))
    descriptors = rng.normal(size=(len(shown), 3))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Files(
        rng.integers(0, 256, (len(shown), 32), np.uint8),
        np.array(hashes, np.uint8),
        np.array([TEXTURE if well else TEXTURE - 1 for *_, well in shown], np.float32),
        descriptors.astype(np.float16),
    )


@st.composite
def worlds(draw: st.DrawFn, poor: bool = True) -> tuple[Files, list[int], list[int]]:
    """Files, and which of them are tests and corpus."""
    files = draw(pools(poor))
    chosen = st.lists(st.integers(0, len(files.sha256) - 1), max_size=6)
    return files, draw(chosen), draw(chosen)


def find(files: Files, tests: Sequence[int], corpus: Sequence[int], described: bool = False) -> Found:
    search = Search(files.images("tests", tests, described))
    return find_matches(search, files.images("corpus", corpus, described))


def gravest(matches: Iterable[Match]) -> dict[str, str]:
    """Test image → verdict."""
    ordered = sorted(matches, key=lambda match: -GRAVITY.index(match.verdict))
    return {match.test[1]: match.verdict for match in ordered}


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_verdicts_are_what_hashes_and_bytes_say(world: tuple[Files, list[int], list[int]]) -> None:
    files, tests, corpus = world
    codes = variants(files.hashes)
    matches = {(match.test[1], match.corpus[1]): match for match in find(files, tests, corpus).matches}
    for row, ours in enumerate(tests):
        for at, theirs in enumerate(corpus):
            apart = int(np.bitwise_count(codes[:, ours] ^ files.hashes[theirs]).sum(axis=-1).min())
            match = matches.get((f"{row}-{ours}", f"{at}-{theirs}"))
            if ours == theirs:
                assert match and (match.verdict, match.evidence, match.distance) == ("duplicate", "bytes", 0)
            elif min(files.texture[[ours, theirs]]) >= TEXTURE:
                expected = "duplicate" if apart <= DUPLICATE else "candidate" if apart <= CANDIDATE else None
                assert (match.verdict if match else None) == expected
                assert not match or (match.distance, match.evidence) == (apart, "hash")
            else:
                assert not match or (match.verdict == "undecidable" and apart <= DUPLICATE)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.booleans())
def test_every_match_names_its_images_and_a_transform_that_has_its_distance(
    world: tuple[Files, list[int], list[int]], described: bool
) -> None:
    files, tests, corpus = world
    found = find(files, tests, corpus, described).matches
    pairs = [(match.test, match.corpus) for match in found]
    assert len(set(pairs)) == len(pairs)
    for match in found:
        ours, theirs = (int(name.partition("-")[2]) for _, name in (match.test, match.corpus))
        assert match.test in files.images("tests", tests).names
        assert match.corpus in files.images("corpus", corpus).names
        assert match.test_sha256 == files.sha256[ours].tobytes().hex()
        assert match.corpus_sha256 == files.sha256[theirs].tobytes().hex()
        code = variants(files.hashes)[TRANSFORMS.index(match.transform), ours]
        assert int(np.bitwise_count(code ^ files.hashes[theirs]).sum()) == match.distance


@settings(max_examples=60, deadline=None)
@given(worlds(poor=False), st.booleans())
def test_tests_and_corpus_may_change_places(world: tuple[Files, list[int], list[int]], described: bool) -> None:
    files, tests, corpus = world

    def decided(found: Found, swap: bool) -> set[tuple[object, ...]]:
        sides = [((match.test[1], match.corpus[1])[:: -1 if swap else 1], match) for match in found.matches]
        return {(pair, match.distance, match.verdict, match.evidence, match.cosine) for pair, match in sides}

    there, back = find(files, tests, corpus, described), find(files, corpus, tests, described)
    assert decided(there, False) == decided(back, True)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.data())
def test_the_order_of_images_changes_nothing(world: tuple[Files, list[int], list[int]], data: st.DataObject) -> None:
    files, tests, corpus = world

    def decided(search: Images, images: Images) -> tuple[set[Match], dict[str, str]]:
        found = find_matches(Search(search), images).matches
        return {match for match in found if match.verdict in DECIDED}, gravest(found)

    def shuffled(images: Images) -> Images:
        order = np.array(data.draw(st.permutations(range(len(images.names)))), np.int64)
        hashed = Hashed(images.hashed.hashes[order], images.hashed.texture[order])
        return Images(tuple(images.names[at] for at in order), images.sha256[order], hashed)

    both = files.images("tests", tests), files.images("corpus", corpus)
    assert decided(*both) == decided(*map(shuffled, both))


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_corpus_without_its_duplicates_has_none(world: tuple[Files, list[int], list[int]]) -> None:
    files, tests, corpus = world
    duplicates = {
        match.corpus_sha256
        for match in find(files, tests, corpus).matches
        if match.verdict in ("duplicate", "candidate")
    }
    clean = [file for file in corpus if files.sha256[file].tobytes().hex() not in duplicates]
    assert set(gravest(find(files, tests, clean).matches).values()) <= {"undecidable"}


@settings(max_examples=60, deadline=None)
@given(worlds(), st.booleans())
def test_equal_bytes_have_equal_verdicts(world: tuple[Files, list[int], list[int]], described: bool) -> None:
    files, tests, corpus = world
    verdicts = gravest(find(files, tests, corpus, described).matches)
    by_file: dict[int, set[str | None]] = {}
    for row, file in enumerate(tests):
        by_file.setdefault(file, set()).add(verdicts.get(f"{row}-{file}"))
    assert all(len(found) == 1 for found in by_file.values())


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 6))
def test_a_corpus_may_be_searched_in_parts(world: tuple[Files, list[int], list[int]], cut: int) -> None:
    files, tests, corpus = world
    search, images = Search(files.images("tests", tests, True)), files.images("corpus", corpus, True)

    def part(rows: slice) -> Images:
        hashed = Hashed(images.hashed.hashes[rows], images.hashed.texture[rows])
        assert images.descriptors is not None
        return Images(images.names[rows], images.sha256[rows], hashed, images.descriptors[rows])

    whole = find_matches(search, images)
    parts = join_found(find_matches(search, part(rows)) for rows in (slice(cut), slice(cut, None)))
    assert {match for match in whole.matches if match.verdict == "duplicate"} == {
        match for match in parts.matches if match.verdict == "duplicate"
    }
    assert gravest(whole.matches) == gravest(parts.matches)
    assert whole.close == parts.close


def test_descriptors_find_what_hashes_do_not() -> None:
    rng = np.random.default_rng(0)
    angles = np.arccos([1, 0.97, 0.8, 0.7, 0.1])
    descriptors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    hashes = rng.integers(0, 256, (5, 32), np.uint8)
    files = Files(rng.integers(0, 256, (5, 32), np.uint8), hashes, np.full(5, TEXTURE, np.float32), descriptors)
    found = find(files, [0], [1, 2, 3, 4], described=True)
    assert [(match.corpus[1], match.verdict, match.evidence) for match in found.matches] == [
        ("0-1", "candidate", "descriptor"),
        ("1-2", "candidate", "descriptor"),
    ]
    assert [match.cosine for match in found.matches] == pytest.approx([0.97, 0.8], abs=2e-3)
    assert found.close == (frozenset({("tests", "0-0")}),) * 3
    assert REPORTED_COSINES == (0.6, 0.75, 0.95)
    assert find(files, [0], [3, 4], described=True).close[1:] == (frozenset(), frozenset())
    assert find(files, [0], [3, 4]).close == NOWHERE == join_found([find(files, [0], [3, 4])]).close


def test_what_resembles_everything_is_found_often_enough() -> None:
    many = 3 * MOST_ALIKE
    rng = np.random.default_rng(0)
    descriptors = np.tile(np.array([[1, 0]], np.float16), (many, 1))
    hashes, digests = rng.integers(0, 256, (many, 32), np.uint8), rng.integers(0, 256, (many, 32), np.uint8)
    files = Files(digests, hashes, np.full(many, TEXTURE, np.float32), descriptors)
    assert len(find(files, [0], range(1, many), described=True).matches) == MOST_ALIKE


def test_a_search_travels_without_what_each_process_builds() -> None:
    files = Files(*(np.zeros((1, 32), np.uint8),) * 2, np.full(1, TEXTURE, np.float32), np.zeros((1, 2), np.float16))
    search, corpus = Search(files.images("tests", [0]), duplicate=3, candidate=5), files.images("corpus", [0])
    assert len(find_matches(search, corpus).matches) == 1  # builds
    again = pickle.loads(pickle.dumps(search))
    assert (again.duplicate, again.candidate, again.tests.names) == (3, 5, search.tests.names)
    assert find_matches(again, corpus) == find_matches(search, corpus)


def test_nothing_against_nothing() -> None:
    none = join_shards([])
    assert find_matches(Search(none), none) == Found(())


def test_shards_are_joined_in_order(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", [fill(tmp_path / "a", [0, 1]), fill(tmp_path / "b", [2])])
    shards = [read_shard(index.folder, made) for made in index.shards]
    images = join_shards((shard.source, shard) for shard in shards)
    assert images.names == (("a", "000.jpg"), ("a", "001.jpg"), ("b", "002.jpg"))
    np.testing.assert_array_equal(images.sha256[2:], shards[1].sha256)
    assert images.descriptors is None and images.hashed.decidable.all()


def test_a_picture_that_a_corpus_holds_many_times_needs_no_more_witnesses() -> None:
    """Equal pairs are listed by the smallest names, in whatever order and parts they come."""
    count = 2 * MOST_LISTED + 7
    matches = [
        Match(("set", "a"), "0", ("web", f"{at:05}"), "1", at % 3, "none", "duplicate", "hash") for at in range(count)
    ]
    nearest = sorted(matches, key=lambda match: (match.distance, match.corpus))[:MOST_LISTED]
    for order in (matches, matches[::-1]):
        parts = [Found(tuple(order[at : at + 100])) for at in range(0, count, 100)]
        joined = join_found(parts)
        assert sorted(joined.matches, key=lambda match: (match.distance, match.corpus)) == nearest
        assert joined.unlisted == count - MOST_LISTED
        assert join_found([joined]) == joined
