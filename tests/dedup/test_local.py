from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from transfer.dedup import local
from transfer.dedup.decoding import decode_grey
from transfer.dedup.hashing import CANDIDATE, TRANSFORMS, distances, hash_thumbnails
from transfer.dedup.local import (
    MOST,
    MOST_PAIRS,
    MOST_TEST,
    RADIUS,
    LocalSearch,
    Votes,
    features,
    mirrored,
)
from transfer.dedup.verifying import SAME, similarity

Grey = NDArray[np.uint8]


def drawn(seed: int, side: int = 240) -> Grey:
    """`(side, side)`: bright and dark ellipses of all sizes. Unrelated for every seed."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 128, np.uint8)
    for size in np.geomspace(side / 4, 3, 150):
        middle = rng.uniform(0, side, 2)
        axes = rng.uniform(0.3, 1, 2) * size
        cv2.ellipse(image, (middle, 2 * axes, rng.uniform(0, 180)), int(rng.integers(256)), -1)
    return cv2.GaussianBlur(image, (0, 0), 1)


def turned(image: Grey, degrees: float) -> Grey:
    height, width = image.shape
    return cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1), (width, height))


def bordered(image: Grey) -> Grey:
    return cv2.copyMakeBorder(image, 50, 50, 40, 40, cv2.BORDER_CONSTANT, value=255)


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "nothing": lambda image: image,
    "crop to 64 %": lambda image: image[10:202, 40:232],
    "crop to 25 %": lambda image: image[60:180, 60:180],
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "turn by 10": lambda image: turned(image, 10),
    "turn by -45": lambda image: turned(image, -45),
    "border": bordered,
    "noise": lambda image: np.clip(image + np.random.default_rng(0).normal(0, 6, image.shape), 0, 255).astype(np.uint8),
}


@pytest.fixture(scope="module")
def search() -> LocalSearch:
    return LocalSearch([features(drawn(seed), MOST_TEST) for seed in range(12)])


def pairs(votes: Votes) -> list[tuple[int, int, str]]:
    columns = (votes.test.tolist(), votes.corpus.tolist(), [TRANSFORMS[number] for number in votes.transform])
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_paired_with_its_original_only(search: LocalSearch, change: str) -> None:
    copies = [features(CHANGES[change](drawn(seed))) for seed in (3, 7, 90)]  # 90 is a copy of nothing
    assert pairs(search.find(copies)) == [(3, 0, "none"), (7, 1, "none")]


@pytest.mark.parametrize("change", CHANGES)
def test_a_mirrored_copy_is_paired_and_said_to_be_mirrored(search: LocalSearch, change: str) -> None:
    copy = CHANGES[change](np.ascontiguousarray(drawn(5)[:, ::-1]))
    assert pairs(search.find([features(np.ascontiguousarray(copy))])) == [(5, 0, "flip")]


def test_unrelated_images_are_not_paired(search: LocalSearch) -> None:
    assert len(search.find([features(drawn(seed)) for seed in range(100, 112)]).test) <= 1


def test_codes_of_the_mirror_image_follow_from_those_of_the_image() -> None:
    image = drawn(0)
    ours, theirs = mirrored(features(image)), features(np.ascontiguousarray(image[:, ::-1]), most=1000)
    nearest = np.bitwise_count(ours[:, None] ^ theirs[None]).sum(axis=2).min(axis=1)
    assert np.median(nearest) <= 8 and (nearest <= RADIUS).mean() > 0.8
    assert np.array_equal(mirrored(ours), features(image))


def test_features_are_bounded_ordered_and_the_same_again() -> None:
    image = drawn(1, side=500)
    codes = features(image, MOST_TEST)
    assert codes.shape == (MOST_TEST, 32) and codes.dtype == np.uint8
    assert np.array_equal(codes, features(image, MOST_TEST))
    assert np.array_equal(codes[:MOST], features(image))


def test_features_spread_over_an_image_half_of_which_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[float] = []
    spread = local._spread
    monkeypatch.setattr(local, "_spread", lambda points: _noted(spread(points), places))
    calm = (drawn(2).astype(np.int16) - 128) // 4 + 128
    features(np.hstack([drawn(2), calm.astype(np.uint8)]))
    assert 0.25 < np.mean(np.array(places) > local.LONGEST / 2) < 0.75


def _noted(points: list[cv2.KeyPoint], places: list[float]) -> list[cv2.KeyPoint]:
    places += [point.pt[0] for point in points[:MOST]]
    return points


@pytest.mark.parametrize("shape", [(240, 240), (16, 16), (1000, 1), (1, 1)])
def test_an_image_without_features_is_paired_with_nothing(search: LocalSearch, shape: tuple[int, int]) -> None:
    codes = features(np.full(shape, 90, np.uint8))
    assert codes.shape == (0, 32) and codes.dtype == np.uint8
    assert pairs(search.find([codes, codes])) == []
    assert pairs(search.find([codes, features(drawn(4))])) == [(4, 1, "none")]


def test_nothing_is_found_where_nothing_is_sought(search: LocalSearch) -> None:
    codes = features(drawn(0))
    for found in (search.find([]), LocalSearch([]).find([codes]), LocalSearch([codes[:0]]).find([codes])):
        assert pairs(found) == []


def test_a_vote_is_shared_and_pairs_of_a_corpus_image_are_bounded() -> None:
    codes = features(drawn(0))
    alone = LocalSearch([codes]).find([codes])
    many = LocalSearch([codes] * (MOST_PAIRS + 2)).find([codes])
    assert many.test.tolist() == list(range(MOST_PAIRS))
    assert many.votes == pytest.approx(alone.votes[0] / (MOST_PAIRS + 2))
    assert alone.votes[0] == pytest.approx(len(codes), rel=0.1)


def test_a_feature_that_a_test_image_has_twice_votes_once() -> None:
    codes = features(drawn(0))
    assert LocalSearch([np.concatenate([codes, codes])]).find([codes]).votes == LocalSearch([codes]).find([codes]).votes


def test_many_test_images_are_searched_in_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PROBES", 8)
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (MOST_TEST, 32), np.uint8) for _ in range(50)]
    search = LocalSearch([*noise, features(drawn(0), MOST_TEST)])
    assert search._index.nprobe < search._index.nlist
    assert pairs(search.find([features(CHANGES["crop to 64 %"](drawn(0)))])) == [(50, 0, "none")]


@pytest.mark.real_data
def test_of_ukbench_copies_are_found_and_verified_and_other_objects_are_not(shared_data: Path) -> None:
    folder = shared_data / "near_duplicates" / "imagededup_ukbench"
    files = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.jpg")) if "corrupt" not in path.stem}
    names, greys = list(files), [decode_grey(data) for data in files.values()]
    votes = LocalSearch([features(grey, MOST_TEST) for grey in greys]).find([features(grey) for grey in greys])
    found = {(names[test], names[at]): transform for test, at, transform in pairs(votes) if test != at}
    copies = [name for name in names if name.startswith("ukbench00120")]
    assert len(copies) == 4 and set(found) == set(permutations(copies, 2))
    for test, at in (("ukbench00120", "ukbench00120_rotation"), ("ukbench00120_rotation", "ukbench00120_hflip")):
        assert similarity(files[test], files[at], found[test, at]) >= SAME


@pytest.mark.real_data
def test_a_crop_that_the_hash_cannot_see_is_found_among_photographs(shared_data: Path) -> None:
    paths = sorted((shared_data / "flowers5_subset").rglob("*.jpg"))[::25]
    greys = [decode_grey(path.read_bytes()) for path in paths]
    crops = [np.ascontiguousarray(grey[: grey.shape[0] * 7 // 10, grey.shape[1] * 3 // 10 :]) for grey in greys]
    sides = [
        hash_thumbnails([cv2.resize(g, (64, 64), interpolation=cv2.INTER_AREA) for g in s]) for s in (greys, crops)
    ]
    assert (distances(sides[0].hashes, sides[1].hashes) > CANDIDATE).all()
    votes = LocalSearch([features(grey, MOST_TEST) for grey in greys]).find([features(crop) for crop in crops])
    found = {(test, at) for test, at, _ in pairs(votes)}
    own = {(row, row) for row in range(len(paths))}
    assert own <= found and len(found - own) <= 1
