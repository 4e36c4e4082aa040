"""The benchmarks of near-duplicates run and count rightly; how fast anything is, is tested nowhere."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import faiss
import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "tools" / "bench"
OURS = ["ours, hash ≤ 31", "ours, hash ≤ 64 alone", "ours, hash ≤ 64 + pixels"]


def load(name: str) -> ModuleType:
    """A benchmark as a module, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(FOLDER))  # as `python tools/bench/copies.py` has it
try:
    import alterations

    copies, dedup = load("copies"), load("dedup")
finally:
    sys.path.remove(str(FOLDER))


@pytest.fixture
def threads() -> None:
    """Benchmarks restrict OpenCV and faiss to one thread; other tests get theirs back."""
    opencv, openmp = cv2.getNumThreads(), faiss.omp_get_max_threads()
    yield
    cv2.setNumThreads(opencv)
    faiss.omp_set_num_threads(openmp)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Textures, laid out as the photographs are: five originals, and four frames of which two are of a standing car."""
    folder, draw = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(5):
        save(texture(draw), folder / copies.PHOTOGRAPHS[number % 2] / "train" / f"{number}.jpg")
    street = texture(draw)
    for name in ("Seq05VD_f01920", "Seq05VD_f02190"):
        save(street, folder / copies.FRAMES / "test" / f"{name}.png")
    for name in ("0001TP_008550", "0001TP_008820"):
        save(texture(draw), folder / copies.FRAMES / "train" / f"{name}.png")
    return folder


def texture(draw: np.random.Generator) -> Image.Image:
    coarse = draw.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def test_copies_are_counted_for_every_method(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "copies.json"
    chosen = ["--transforms", "JPEG 50", "flip", "crop 10", "--methods", "ours", "--json", str(path)]
    copies.main(["--data", str(drawn), *chosen])
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in table[2:-1]] == [
        "| crop 10 %", "| JPEG 50", "| flip", "| flip + saturation + JPEG 30",
    ]  # fmt: skip
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["images"] == [5, 4] and [each["name"] for each in data["methods"]] == OURS
    for each in data["methods"]:
        assert each["recall"] == {
            "crop 10 %": 0.0, "JPEG 50": 1.0, "flip": 1.0, "flip + saturation + JPEG 30": 1.0,
        }  # fmt: skip
        assert each["accepted"] == [15, 0] and each["precision"] == 1.0 and each["wrong"] == []
        assert each["standing"] == [0]


def test_the_seed_decides_every_copy(drawn: Path) -> None:
    with Image.open(drawn / "coco_mini" / "train" / "0.jpg") as image:
        image.load()
    for transform in copies.TRANSFORMS:
        assert transform.copy(image, 3, 0) == transform.copy(image, 3, 0)
    noise = next(each for each in copies.TRANSFORMS if each.name.startswith("noise"))
    assert noise.copy(image, 3, 0) != noise.copy(image, 3, 1) and noise.copy(image, 3, 0) != noise.copy(image, 4, 0)
    assert len({each.name for each in copies.TRANSFORMS}) == len(copies.TRANSFORMS)


def test_crops_and_borders_are_as_large_as_they_say(drawn: Path) -> None:
    draw = np.random.default_rng(0)
    with Image.open(drawn / "coco_mini" / "train" / "0.jpg") as image:
        image.load()
    cut = alterations.crop(image, draw, 25)
    assert cut.size == (160, 120)
    assert alterations.border(image, draw, 10).size == (384, 288)
    assert alterations.border(image, draw, 10, down_only=True).size == (320, 288)
    assert alterations.rotate(image, draw, 90).size == (240, 320) and alterations.rotate(image, draw, 5).size == (
        320,
        240,
    )


def test_subsets_are_drawn_by_the_seed(drawn: Path) -> None:
    names = [copies.find_photographs(drawn, 3, seed).names for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2] and all(len(each) == 3 + 4 for each in names)
    with pytest.raises(SystemExit, match="TRANSFER_DATA"):
        copies.find_photographs(drawn / "nowhere", None, 0)


def test_a_threshold_is_the_largest_that_is_precise_enough() -> None:
    tally = copies.Tally(copies.Column("any"))
    tally.add(np.array([0, 5, 7, 9], np.uint16), np.array([8, 9, 9], np.uint16), "crop")
    assert tally.curve() == [(0, 1, 0), (5, 2, 0), (7, 3, 0), (8, 3, 1), (9, 4, 3)]
    assert tally.threshold == 7 and tally.accepted() == (3, 0) and tally.recall("crop") == 0.75
    tally.add(np.zeros(4000, np.uint16), np.empty(0, np.uint16), "JPEG")
    assert tally.threshold == copies.FAR - 1  # three wrong ones among four thousand are precise enough
    fixed = replace(tally, column=copies.Column("fixed", 8))
    assert fixed.accepted() == (4003, 1) and fixed.precision() == 4003 / 4004


def test_a_method_that_is_never_precise_accepts_nothing() -> None:
    tally = copies.Tally(copies.Column("any"))
    tally.add(np.array([3], np.uint16), np.array([3, 3], np.uint16), "crop")
    assert tally.threshold == -1 and tally.accepted() == (0, 0) and tally.recall("crop") == 0


def test_wrong_pairs_are_named(drawn: Path) -> None:
    """The standing car's frames are one picture, and nobody's mistake; another such pair is."""
    gallery = copies.find_photographs(drawn, None, 0)
    method = copies.Ours(gallery.pieces)
    tallies = [copies.Tally(column) for column in method.columns]
    distances = method.distances(gallery.pieces)
    distances[0][0, 1] = 7
    copies.count_photographs(gallery, zip(tallies, distances, strict=True))
    assert tallies[0].wrong == [("photographs", gallery.names[0], gallery.names[1], 7)]
    assert [tally.false[:65].sum() for tally in tallies] == [1, 0, 0]
    assert [tally.apart.tolist() for tally in tallies] == [[0]] * 3


def test_codes_are_compared_bit_by_bit_in_every_position() -> None:
    draw = np.random.default_rng(0)
    tests, corpus = (draw.integers(0, 256, shape, np.uint8) for shape in ((3, 2, 8), (4, 8)))
    apart = np.unpackbits(tests[:, :, None] ^ corpus, axis=3).sum(axis=3)
    assert (copies.bits_apart(tests, corpus) == apart.min(axis=1)).all()
    assert (copies.bits_apart_upright(tests, corpus) == apart[:, 0]).all()
    one = np.array([[1, 0], [0.6, 0.8]], np.float16)
    assert copies.angles_apart(one, one).tolist() == [[0, 400], [400, 0]]


def test_our_hash_is_compared_in_every_position(drawn: Path) -> None:
    gallery = copies.find_photographs(drawn, None, 0)
    (own,) = copies.open_our_hash(gallery.pieces).distances(gallery.pieces)
    searched = copies.Ours(gallery.pieces).distances(gallery.pieces)[1]
    assert (np.minimum(own, own.T) == own).all() and not own.diagonal().any()
    near = searched <= 64
    assert near.sum() > len(own) and (own[near] == searched[near]).all() and (own[~near] > 64).all()


def test_what_is_not_installed_is_left_out(
    drawn: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("imagehash", "imagededup", "pdqhash"):
        monkeypatch.setitem(sys.modules, name, None)
    rest = [name for name in copies.METHODS if not name.startswith("our")]
    assert copies.open_methods(rest, None, copies.find_photographs(drawn, None, 0).pieces) == []
    assert capsys.readouterr().out.count("pip install") == len(rest)
    assert dedup.installed() == {} and capsys.readouterr().out.count("pip install") == 2


def test_photographs_are_found_again(shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "copies.json"
    chosen = ["--transforms", "JPEG 30", "--methods", "ours", "--images", "4", "--json", str(path)]
    copies.main(["--data", str(shared_data), *chosen])
    data = json.loads(path.read_text(encoding="utf-8"))
    assert [each["recall"]["JPEG 30"] for each in data["methods"]] == [1.0, 1.0, 1.0]
    assert data["methods"][2]["precision"] == 1.0 and len(data["methods"][2]["standing"]) == 6


def test_speed_and_memory_are_measured(
    drawn: Path, tmp_path: Path, threads: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dedup.json"
    sizes = ["--tests", "50", "--corpus", "3000", "--memory", "1500", "--pieces", "4", "--piece", "2", "--warm", "1"]
    dedup.main(["--data", str(drawn), "--rounds", "2", *sizes, "--json", str(path)])
    data = json.loads(path.read_text(encoding="utf-8"))
    assert set(data) == {"hashing", "workers", "search", "memory"} and data["search"]["recall"] == 1.0
    assert {"ours", "ours with SHA-256"} <= set(data["hashing"]["seconds"])
    assert all(len(each) == 2 for part in ("hashing", "workers", "search") for each in data[part]["seconds"].values())
    assert [each["way"] for each in data["search"]["ratios"]] == ["ours", "ours", "ours", "ours, 8 positions"]
    assert data["memory"]["peaks"][0]["images"] == 1500 and data["memory"]["peaks"][0]["matches"] == 0
    assert "recall of ours at every distance from 0 to 64" in capsys.readouterr().out


@pytest.mark.parametrize("turned", [False, True])
def test_a_search_that_misses_or_invents_is_noticed(turned: bool, threads: None) -> None:
    planted = dedup.plant(50, 2000, 0)
    hits = dedup.search_ours(planted, turned)
    assert dedup.check_recall(planted, hits, turned) == 1.0
    found = dedup.Hits(*(np.concatenate(columns) for columns in zip(*map(columns_of, hits), strict=True)))
    fewer = dedup.Hits(*(column[1:] for column in columns_of(found)))
    with pytest.raises(AssertionError, match=r"^1 of \d+ planted neighbours were not found"):
        dedup.check_recall(planted, [fewer], turned)
    farther = replace(found, distance=found.distance + (np.arange(len(found.test)) == 0))
    with pytest.raises(AssertionError, match="were not found"):
        dedup.check_recall(planted, [farther], turned)
    invented = replace(found.shifted(0), test=found.test + 50)
    with pytest.raises(AssertionError, match="that nobody planted"):
        dedup.check_recall(planted, [found, invented], turned)


def columns_of(hits: object) -> list[np.ndarray]:
    return list(vars(hits).values())


def test_the_ways_of_searching_find_as_many(threads: None) -> None:
    planted = dedup.plant(50, 2000, 1)
    near = int((planted.transform == 0).sum())
    assert near == dedup.PLANTED * 65 and len(planted.test) == 2 * near
    assert dedup.search_numpy(planted.tests, planted.corpus) == near
    assert (
        dedup.search_faiss(planted.tests, planted.corpus) == dedup.search_faiss(planted.corpus, planted.tests) == near
    )


def test_ratios_are_medians_of_the_rounds_own() -> None:
    seconds = {"ours": [1.0, 10.0, 1.0], "theirs": [3.0, 20.0, 4.0]}
    faster, longer = dedup.Aim("ours", "theirs", 3.0), dedup.Aim("ours", "theirs", 0.3, at_most=True)
    (line, ratio), (other, inverse) = dedup.judge(seconds, [faster, longer, dedup.Aim("ours", "absent", 1.0)])
    assert ratio == 3.0 and "met" in line and inverse == pytest.approx(1 / 3) and "MISSED" in other


def test_every_other_round_runs_backwards() -> None:
    calls: list[str] = []
    ways = {name: lambda name=name: float(len(calls)) if calls.append(name) is None else 0.0 for name in "ab"}
    assert dedup.alternate(ways, 2) == {"a": [1.0, 4.0], "b": [2.0, 3.0]} and calls == ["a", "b", "b", "a"]
