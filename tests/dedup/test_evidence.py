from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.dedup.conftest import TURNS, encode, fill, picture
from transfer.dedup import evidence
from transfer.dedup.evidence import Compare, candidates_by_source, verify_candidates
from transfer.dedup.hashing import TRANSFORMS
from transfer.dedup.matching import Found, Match
from transfer.dedup.sources.inputs import read_images
from transfer.dedup.sources.pieces import Entry, Kind, Places

PAIR = Match(("tests", "000.jpg"), "a" * 64, ("web", "000.jpg"), "b" * 64, 40, "none", "candidate", "hash")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pair(test: int, corpus: int, source: str = "web", **more: object) -> Match:
    """Test image `test` and corpus image `corpus` of the fixture, as they were hashed."""
    sides = digest(encode(picture(test))), digest(encode(picture(corpus), quality=30))
    names = ("tests", f"{test:03}.jpg"), (source, f"{corpus:03}.jpg")
    return replace(PAIR, test=names[0], corpus=names[1], **{"test_sha256": sides[0], "corpus_sha256": sides[1], **more})  # type: ignore[arg-type]


@pytest.fixture
def places(tmp_path: Path) -> tuple[Places, Places]:
    """Tests 0 to 2; two sources that hold recompressed copies of 0 and 1, a folder and a tar."""
    tests, web, tar = fill(tmp_path / "tests", range(3)), tmp_path / "web", tmp_path / "b.tar"
    web.mkdir()
    for seed in (0, 1, 7):
        (web / f"{seed:03}.jpg").write_bytes(encode(picture(seed), quality=30))
    with tarfile.open(tar, "w") as archive:
        for path in sorted(web.iterdir()):
            archive.add(path, path.name)
    return {"tests": ("files", tests)}, {"web": ("files", web), "b.tar": ("tar", tar)}


@pytest.mark.parametrize("source", ["web", "b.tar"])
def test_copies_become_duplicates_and_others_are_rejected(places: tuple[Places, Places], source: str) -> None:
    asked = [pair(0, 0, source), pair(1, 0, source), pair(1, 1, source), pair(2, 7, source)]
    found = {(match.test[1], match.corpus[1]): match for match in Compare(*places)(asked)}
    assert [(found[match.test[1], match.corpus[1]].verdict) for match in asked] == ["duplicate", "rejected"] * 2
    for match in found.values():
        assert match.evidence == "pixels" and match.similarity is not None
        assert (match.similarity >= 0.96) == (match.verdict == "duplicate")


@pytest.mark.parametrize("number", range(8))
def test_a_pair_is_compared_as_its_hash_says_it_is_turned(places: tuple[Places, Places], number: int) -> None:
    copy = encode(np.ascontiguousarray(TURNS[number](picture(2))))
    (places[1]["web"][1] / "002.jpg").write_bytes(copy)
    asked = pair(2, 2, corpus_sha256=digest(copy))
    (match,) = Compare(*places)([replace(asked, transform=TRANSFORMS[number])])
    assert (match.verdict, match.transform) == ("duplicate", TRANSFORMS[number])
    (match,) = Compare(*places)([replace(asked, transform=TRANSFORMS[(number + 1) % 8])])
    assert match.verdict == "rejected"


def test_a_pair_of_descriptors_is_compared_mirrored_as_well(places: tuple[Places, Places]) -> None:
    flipped = encode(np.asarray(cv2.flip(picture(2)[8:, 8:], 1), np.uint8))
    (places[1]["web"][1] / "002.jpg").write_bytes(flipped)
    (match,) = Compare(*places)([pair(2, 2, corpus_sha256=digest(flipped), evidence="descriptor", cosine=0.8)])
    assert (match.verdict, match.transform, match.evidence, match.cosine) == ("duplicate", "flip", "pixels", 0.8)


def test_where_an_image_is_gone_a_candidate_stays_one(places: tuple[Places, Places], tmp_path: Path) -> None:
    asked = [pair(0, 0), pair(1, 1)]
    (places[1]["web"][1] / "001.jpg").unlink()
    assert sorted(match.verdict for match in Compare(*places)(asked)) == ["candidate", "duplicate"]
    (places[0]["tests"][1] / "000.jpg").write_bytes(b"damaged since")
    assert sorted(Compare(*places)(asked), key=lambda match: match.test) == asked


@pytest.mark.parametrize("source", ["web", "b.tar"])
def test_where_a_source_is_gone_candidates_stay(places: tuple[Places, Places], source: str, tmp_path: Path) -> None:
    places[1][source][1].rename(tmp_path / "away")
    asked = [pair(0, 0, source), pair(1, 1, source)]
    assert sorted(Compare(*places)(asked), key=lambda match: match.test) == asked


def test_an_image_that_left_its_archive_stays_a_candidate(places: tuple[Places, Places]) -> None:
    asked = [pair(0, 0, "b.tar"), pair(2, 99, "b.tar")]
    assert [match.verdict for match in Compare(*places)(asked)] == ["duplicate", "candidate"]


def test_a_test_image_that_left_its_archive_stays_a_candidate(places: tuple[Places, Places]) -> None:
    moved = {"tests": places[1]["b.tar"]}
    asked = [pair(2, 0), pair(0, 0, test_sha256=digest(encode(picture(0), quality=30)))]
    found = {match.test[1]: match.verdict for match in Compare(moved, places[1])(asked)}
    assert found == {"002.jpg": "candidate", "000.jpg": "duplicate"}


def test_an_archive_of_test_images_is_read_once(places: tuple[Places, Places], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def noted(kind: Kind, path: Path, names: Collection[str]) -> Iterator[Entry]:
        read.append(path)
        return read_images(kind, path, names)

    monkeypatch.setattr(evidence, "read_images", noted)
    archived, corpus = {"tests": places[1]["b.tar"], "unasked": places[1]["b.tar"]}, places[1]["web"]
    hashed = [digest(encode(picture(seed), quality=30)) for seed in (0, 1)]
    asked = [pair(test, at, test_sha256=hashed[test]) for test in (0, 1) for at in (0, 1)]
    found = Compare(archived, {"web": corpus})(asked)
    assert sorted(read) == sorted([archived["tests"][1], corpus[1]])
    assert sorted(match.verdict for match in found) == ["duplicate"] * 2 + ["rejected"] * 2


def test_candidates_of_known_places_are_compared_by_source(places: tuple[Places, Places]) -> None:
    rest = [pair(0, 0, verdict="duplicate"), pair(1, 1, verdict="undecidable"), pair(2, 7, "elsewhere")]
    groups = candidates_by_source([pair(1, 1), *rest, pair(0, 0, "b.tar"), pair(2, 7)], places[1])
    assert groups == [(pair(0, 0, "b.tar"),), (pair(1, 1), pair(2, 7))]


def test_what_is_rejected_is_counted_and_the_others_keep_their_place(places: tuple[Places, Places]) -> None:
    before = pair(0, 0, verdict="duplicate"), pair(1, 0), pair(1, 1), pair(2, 7, "elsewhere")
    found = verify_candidates(Found(before, unlisted=2, rejected=3), Compare(*places))
    assert found.matches[::2] == before[::3] and (found.unlisted, found.rejected) == (2, 4)
    assert (found.matches[1].corpus, found.matches[1].verdict) == (before[2].corpus, "duplicate")


@pytest.mark.parametrize("source", ["web", "b.tar"])
def test_other_images_under_the_old_names_decide_nothing(places: tuple[Places, Places], source: str) -> None:
    for side in ("test_sha256", "corpus_sha256"):
        asked = [pair(0, 0, source, **{side: "0" * 64}), pair(1, 0, source, **{side: "0" * 64})]
        assert sorted(Compare(*places)(asked), key=lambda match: match.test) == asked
    moved = {"tests": places[1]["b.tar"]}
    assert Compare(moved, places[1])([pair(0, 0, source)]) == [pair(0, 0, source)]


def test_two_images_of_one_name_in_an_archive_are_two(places: tuple[Places, Places], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "twins.tar", "w") as archive:
        for seed in (7, 0):
            archive.add(places[1]["web"][1] / f"{seed:03}.jpg", "same.jpg")
    first, second = (replace(pair(0, seed), corpus=("twins.tar", "same.jpg")) for seed in (7, 0))
    corpus: Places = {"twins.tar": ("tar", tmp_path / "twins.tar")}
    found = verify_candidates(Found((first, second)), Compare(places[0], corpus))
    assert [match.corpus_sha256 for match in found.matches] == [second.corpus_sha256] and found.rejected == 1
    sides = ("test", "corpus"), ("test_sha256", "corpus_sha256")
    turned = [
        replace(each, **{a: getattr(each, b) for pair in sides for a, b in (pair, pair[::-1])})
        for each in (first, second)
    ]
    found = verify_candidates(Found(tuple(turned)), Compare(corpus, {"tests": places[0]["tests"]}))
    assert [match.test_sha256 for match in found.matches] == [second.corpus_sha256] and found.rejected == 1
