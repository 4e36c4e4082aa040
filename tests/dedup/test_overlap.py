from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dedup.conftest import fill
from transfer.dedup.hashing import VERSION, Hashed
from transfer.dedup.matching import Found, Images, Match, Search
from transfer.dedup.overlap import TestSet, describe_overlap, images_sha256, read_overlap, write_overlap
from transfer.dedup.shards import hash_piece
from transfer.dedup.sources.inputs import find_pieces
from transfer.dedup.sources.pieces import Places
from transfer.errors import BrokenOverlap

CORPUS = {"name": "web", "images": 9, "skipped": 1, "sha256": "c" * 64, "descriptor": None}
SETS = (
    TestSet("one", 5, "1" * 64, {"broken.jpg": "truncated"}, {"flat.jpg": "f" * 64, "even.jpg": "e" * 64}),
    TestSet("two", 3, "2" * 64, {}, {}),
)
FIRST = Match(("one", "a.jpg"), "a" * 64, ("web", "x.jpg"), "b" * 64, 5, "flip", "duplicate", "hash")
SECOND = replace(FIRST, test=("one", "b.jpg"), test_sha256="b" * 64)
MATCHES = (
    replace(FIRST, test=("two", "a.jpg"), verdict="candidate", evidence="descriptor", cosine=0.8, distance=120),
    replace(FIRST, corpus=("web", "y.jpg"), distance=40, verdict="candidate"),
    FIRST,
    replace(FIRST, test=("one", "flat.jpg"), test_sha256="f" * 64, verdict="undecidable", distance=2),
    replace(SECOND, distance=60, verdict="duplicate", evidence="pixels", similarity=0.99),
    replace(SECOND, corpus=("web", "a.jpg"), distance=60, verdict="undecidable"),
)
NONE = Images((), np.empty((0, 32), np.uint8), Hashed(np.empty((0, 32), np.uint8), np.empty(0, np.float32)))
DESCRIBED = Search(replace(NONE, descriptors=np.empty((0, 2), np.float16)))


def described(matches: tuple[Match, ...] = MATCHES, search: Search | None = None, **found: Any) -> dict[str, Any]:
    places: tuple[Places, Places] = ({"one": ("files", Path("/data/one"))}, {"web": ("tar", Path("/web.tar"))})
    return describe_overlap(CORPUS, SETS, search or Search(NONE), Found(matches, **found), places)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    data = described()
    overlap = write_overlap(tmp_path / "overlap.json", data)
    assert overlap == read_overlap(tmp_path / "overlap.json")
    assert overlap.tests == SETS
    assert [dict(pair) for pair in overlap.pairs] == data["pairs"]
    assert (overlap.corpus, overlap.thresholds, overlap.counts) == (CORPUS, data["thresholds"], data["counts"])
    assert overlap.places("tests") == {"one": ("files", Path("/data/one"))}


def test_pairs_are_in_order() -> None:
    pairs = described()["pairs"]
    order = [(pair["test_set"], pair["test"], pair["distance"], pair["corpus"]) for pair in pairs]
    assert order == sorted(order) and len(pairs) == 6
    assert pairs == described(MATCHES[::-1])["pairs"]
    assert pairs[0] == {
        "test_set": "one",
        "test": "a.jpg",
        "test_sha256": "a" * 64,
        "corpus_source": "web",
        "corpus": "x.jpg",
        "corpus_sha256": "b" * 64,
        "distance": 5,
        "transform": "flip",
        "cosine": None,
        "similarity": None,
        "verdict": "duplicate",
        "evidence": "hash",
    }


def test_counts_are_of_pairs_and_of_images_by_their_gravest() -> None:
    assert described(unlisted=3, rejected=1)["counts"] == {
        "pairs": {"duplicate": 2, "candidate": 2, "undecidable": 2},
        "images": {"duplicate": 2, "candidate": 1, "undecidable": 2},
        "rejected": 1,
        "unlisted": 3,
    }
    close = tuple(frozenset(("one", str(at)) for at in range(number)) for number in (5, 3, 1))
    assert described(search=DESCRIBED, close=close)["counts"]["cosine"] == {"0.6": 5, "0.75": 3, "0.95": 1}


def test_an_image_has_the_gravest_verdict_of_its_pairs(tmp_path: Path) -> None:
    overlap = write_overlap(tmp_path / "overlap.json", described())
    assert overlap.verdicts("one") == {
        "a" * 64: "duplicate",
        "b" * 64: "duplicate",
        "e" * 64: "undecidable",
        "f" * 64: "undecidable",
    }
    assert overlap.verdicts("two") == {"a" * 64: "candidate"}


def test_thresholds_say_what_was_asked() -> None:
    asked = replace(DESCRIBED, duplicate=3, candidate=7, cosine=0.9)
    expected = {"duplicate": 3, "candidate": 7, "texture": 4.0, "similarity": 0.96, "cosine": 0.9}
    assert described(search=asked)["thresholds"] == expected
    assert described()["thresholds"]["cosine"] is None


def test_places_on_this_machine_are_no_part_of_the_identity(tmp_path: Path) -> None:
    data = described()
    known = write_overlap(tmp_path / "a.json", data)
    moved = write_overlap(tmp_path / "b.json", {**data, "here": {}})
    other = write_overlap(tmp_path / "c.json", {**data, "pairs": data["pairs"][1:]})
    assert known.sha256 == moved.sha256 != other.sha256
    (tmp_path / "a.json").write_text(json.dumps(data, indent=None, sort_keys=True))
    assert read_overlap(tmp_path / "a.json").sha256 == known.sha256, "nor is its layout"


def test_a_test_set_is_what_its_shards_say(tmp_path: Path) -> None:
    folder = fill(tmp_path / "set", [0, 1])
    (folder / "broken.jpg").write_bytes(b"broken")
    shard = hash_piece(*find_pieces([folder]))
    poor = replace(shard, hashed=replace(shard.hashed, texture=np.array([1, 9], np.float32)))
    sha256 = hashlib.sha256((folder / "000.jpg").read_bytes()).hexdigest()
    assert TestSet.of("set", "0", [poor]) == TestSet("set", 3, "0", {"broken.jpg": "not an image"}, {"000.jpg": sha256})


def test_the_hash_of_a_set_is_that_of_its_images() -> None:
    one, other = (hashlib.sha256(name).hexdigest() for name in (b"1", b"2"))
    assert images_sha256([one, other]) == images_sha256([other, one, one]) != images_sha256([one])
    assert images_sha256([]) == hashlib.sha256(b"").hexdigest()


Change = Callable[[dict[str, Any]], Any]

KEYS = ("schema", "hash", "thresholds", "corpus", "tests", "counts", "pairs")
SET_KEYS = ("name", "images", "sha256", "skipped", "undecidable")


def without(key: str, *path: str | int) -> Change:
    """Takes `key` out of what `path` leads to."""
    return lambda data: reduce(getitem, path, data).pop(key)


BROKEN: dict[str, Change] = {
    **{f"no {key}": without(key) for key in KEYS},
    **{f"a pair without {key}": without(key, "pairs", 1) for key in described()["pairs"][0]},
    **{f"a set without {key}": without(key, "tests", 0) for key in SET_KEYS},
    "an unknown verdict": lambda data: data["pairs"][0].update(verdict="innocent"),
    "a rejected pair": lambda data: data["pairs"][0].update(verdict="rejected"),
    "a pair of an unknown set": lambda data: data["pairs"][0].update(test_set="three"),
    "an image that is a number": lambda data: data["pairs"][0].update(test=3),
    "a pair that is a list": lambda data: data["pairs"].append(list(data["pairs"][0])),
    "a pair that is a text": lambda data: data["pairs"].append("a.jpg"),
    "a set that is a list": lambda data: data["tests"].append([]),
    "a set with more": lambda data: data["tests"][0].update(more=1),
    "a place of a wrong type": lambda data: data["here"]["corpus"].update(web=["tar", 5]),
    "a place of an unknown kind": lambda data: data["here"]["corpus"].update(web=["zip", "/web.zip"]),
    "a similarity that is a text": lambda data: data["pairs"][0].update(similarity="x"),
    "a hash that is a number": lambda data: data["pairs"][0].update(test_sha256=7),
    "counts without images": lambda data: data["counts"].pop("images"),
    "a count below zero": lambda data: data["counts"]["images"].update(candidate=-1),
    "a corpus of no number of images": lambda data: data["corpus"].update(images="many"),
    "an undecidable image without its hash": lambda data: data["tests"][0].update(undecidable=["flat.jpg"]),
    "pairs that are a number": lambda data: data.update(pairs=3),
    "sets that are none": lambda data: data.update(tests=None),
}


@pytest.mark.parametrize("change", [pytest.param(change, id=name) for name, change in BROKEN.items()])
def test_a_broken_one_is_refused(tmp_path: Path, change: Change) -> None:
    data = json.loads(json.dumps(described()))
    change(data)
    (tmp_path / "overlap.json").write_text(json.dumps(data))
    with pytest.raises(
        BrokenOverlap, match=r"overlap\.json is no overlap manifest: .*`transfer dedup check` writes it"
    ):
        read_overlap(tmp_path / "overlap.json")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"3", b'"text"', b"\xff"])
def test_what_is_none_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "overlap.json").write_bytes(text)
    with pytest.raises(BrokenOverlap, match=r"overlap\.json is no overlap manifest"):
        read_overlap(tmp_path / "overlap.json")


@pytest.mark.parametrize(("key", "value"), [("hash", "dct64-sign-9"), ("schema", 2)])
def test_one_of_another_version_is_refused(tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "overlap.json").write_text(json.dumps({**described(), key: value}))
    with pytest.raises(BrokenOverlap, match=rf"{value}.*this program knows '{VERSION}', schema 1"):
        read_overlap(tmp_path / "overlap.json")


def test_a_missing_one_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(BrokenOverlap, match=r"cannot be read: .*`transfer dedup check` writes it"):
            read_overlap(place)
