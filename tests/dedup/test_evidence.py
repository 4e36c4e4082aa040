from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.dedup.conftest import TURNS, encode, fill, picture
from transfer.dedup import evidence
from transfer.dedup.evidence import Compare, replaced, to_compare
from transfer.dedup.hashing import TRANSFORMS
from transfer.dedup.matching import Match
from transfer.dedup.sources import Entry, Kind, Places, read_images

PAIR = Match(("tests", "000.jpg"), "a" * 64, ("web", "000.jpg"), "b" * 64, 40, "none", "candidate", "hash")


def pair(test: int, corpus: int, source: str = "web", **more: object) -> Match:
    return replace(PAIR, test=("tests", f"{test:03}.jpg"), corpus=(source, f"{corpus:03}.jpg"), **more)  # type: ignore[arg-type]


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
    (match,) = Compare(*places)([pair(2, 2, transform=TRANSFORMS[number])])
    assert (match.verdict, match.transform) == ("duplicate", TRANSFORMS[number])
    (match,) = Compare(*places)([pair(2, 2, transform=TRANSFORMS[(number + 1) % 8])])
    assert match.verdict == "rejected"


def test_a_pair_of_descriptors_is_compared_mirrored_as_well(places: tuple[Places, Places]) -> None:
    flipped = cv2.flip(picture(2)[8:, 8:], 1)
    (places[1]["web"][1] / "002.jpg").write_bytes(encode(np.asarray(flipped, np.uint8)))
    (match,) = Compare(*places)([pair(2, 2, evidence="descriptor", cosine=0.8)])
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
    asked = [pair(2, 0), pair(0, 0)]
    assert [match.verdict for match in Compare(moved, places[1])(asked)] == ["candidate", "duplicate"]


def test_an_archive_of_test_images_is_read_once(places: tuple[Places, Places], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def noted(kind: Kind, path: Path, names: Collection[str]) -> Iterator[Entry]:
        read.append(path)
        return read_images(kind, path, names)

    monkeypatch.setattr(evidence, "read_images", noted)
    archived, corpus = {"tests": places[1]["b.tar"], "unasked": places[1]["b.tar"]}, places[1]["web"]
    found = Compare(archived, {"web": corpus})([pair(test, at) for test in (0, 1) for at in (0, 1)])
    assert sorted(read) == sorted([archived["tests"][1], corpus[1]])
    assert sorted(match.verdict for match in found) == ["duplicate"] * 2 + ["rejected"] * 2


def test_candidates_of_known_places_are_compared_by_source(places: tuple[Places, Places]) -> None:
    rest = [pair(0, 0, verdict="duplicate"), pair(1, 1, verdict="undecidable"), pair(2, 7, "elsewhere")]
    groups = to_compare([pair(1, 1), *rest, pair(0, 0, "b.tar"), pair(2, 7)], places[1])
    assert groups == [(pair(0, 0, "b.tar"),), (pair(1, 1), pair(2, 7))]


def test_the_others_keep_their_place() -> None:
    before = [pair(0, 0), pair(1, 1, verdict="undecidable"), pair(2, 7)]
    looked_at = [replace(before[2], verdict="rejected")]
    assert replaced(before, looked_at) == [*before[:2], looked_at[0]]
