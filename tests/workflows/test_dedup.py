from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.dedup.conftest import encode, fill, picture
from transfer import cli
from transfer.dedup import evidence, matching, shards
from transfer.dedup.decoding import decode_grey
from transfer.dedup.matching import Search
from transfer.dedup.overlap import Overlap, read_overlap
from transfer.files.fingerprint import file_sha256
from transfer.workflows import dedup as stage

Transfer = Callable[..., tuple[int, str]]


@pytest.fixture
def dedup(capsys: pytest.CaptureFixture[str]) -> Transfer:
    """Runs `transfer dedup ...`; returns its status and what it printed on either stream."""

    def run(*arguments: object) -> tuple[int, str]:
        status = cli.main(["dedup", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def overlaid(seed: int) -> np.ndarray:
    pixels = picture(seed).copy()
    pixels[70:95, 10:150] = 255
    return pixels


COPIES = {
    "equal.jpg": encode(picture(0)),
    "recompressed.jpg": encode(picture(1), quality=25),
    "mirrored.png": encode(picture(2)[:, ::-1], "PNG"),
    "turned.jpg": encode(np.rot90(picture(3)), quality=60),
    "overlaid.jpg": encode(overlaid(4)),
}
OTHERS = {f"other{seed}.jpg": encode(picture(seed)) for seed in (50, 51)}
CORRUPT = {"broken.jpg": encode(picture(1))[:999]}
BLANK = {"blank.png": encode(np.full((50, 50, 3), 255, np.uint8), "PNG")}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def packed(folder: Path) -> Path:
    with tarfile.open(folder.with_suffix(".tar"), "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return folder.with_suffix(".tar")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Pictures 0 to 9, and one without anything in it."""
    return write(fill(tmp_path / "corpus", range(10)), BLANK)


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """Copies of five of them, two others, one broken, one blank."""
    return write(tmp_path / "tests", COPIES | OTHERS | CORRUPT | BLANK)


def pairs_of(overlap: Overlap, verdict: str = "duplicate") -> dict[str, str]:
    """Test → corpus image."""
    return {pair["test"]: pair["corpus"] for pair in overlap.pairs if pair["verdict"] == verdict}


FOUND = dict(zip(COPIES, [f"00{seed}.jpg" for seed in range(5)], strict=True)) | {"blank.png": "blank.png"}


@pytest.mark.parametrize(("tar", "processes"), [(False, 1), (True, 2)])
def test_copies_are_found_and_others_are_not(
    dedup: Transfer, corpus: Path, tests: Path, tmp_path: Path, tar: bool, processes: int
) -> None:
    if tar:
        corpus, tests = packed(corpus), packed(tests)
    index, output, more = tmp_path / "c.index", tmp_path / "overlap.json", ("--processes", processes)
    status, printed = dedup("index", corpus, "-o", index, *more)
    assert (status, "11 images" in printed) == (0, True), printed
    status, printed = dedup("check", index, tests, "-o", output, *more)
    assert status == 0, printed
    assert "9 test images against 11 of c.index: 6 duplicate, 0 candidate, 0 undecidable" in printed
    assert "1 test images could not be hashed" in printed
    overlap = read_overlap(output)
    assert pairs_of(overlap) == FOUND
    hashes = [hashlib.sha256((COPIES | BLANK)[name]).hexdigest() for name in FOUND]
    assert overlap.verdicts(tests.name) == dict.fromkeys(hashes, "duplicate")
    assert overlap.tests[0].skipped.keys() == {"broken.jpg"}
    by_name = {pair["test"]: pair for pair in overlap.pairs}
    assert {name: by_name[name]["transform"] for name in ("mirrored.png", "turned.jpg")} == {
        "mirrored.png": "flip",
        "turned.jpg": "rotate 90",
    }
    assert (by_name["equal.jpg"]["evidence"], by_name["blank.png"]["evidence"]) == ("bytes", "bytes")
    assert overlap.tests[0].undecidable.keys() == {"blank.png"}


def test_a_killed_and_repeated_index_is_the_same(
    dedup: Transfer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, seen = [corpus, fill(tmp_path / "more", range(20, 23))], 0

    def interrupted(data: bytes) -> np.ndarray:
        nonlocal seen
        seen += 1
        if seen == 13:
            raise KeyboardInterrupt
        return decode_grey(data)

    with monkeypatch.context() as patched:
        patched.setattr(shards, "decode_grey", interrupted)
        status, printed = dedup("index", *inputs, "-o", tmp_path / "a.index", "--processes", 1)
    assert (status, "the same command goes on" in printed) == (130, True)
    assert dedup("check", tmp_path / "a.index", corpus, "-o", tmp_path / "o.json")[0] == 1
    assert dedup("index", *inputs, "-o", tmp_path / "a.index")[0] == 0
    assert dedup("index", *inputs, "-o", tmp_path / "b.index")[0] == 0
    manifests = [json.loads((tmp_path / f"{name}.index/manifest.json").read_text()) for name in "ab"]
    assert manifests[0] == manifests[1]


def candidates(overlap: Overlap) -> dict[str, tuple[str, str | None]]:
    """Test image → verdict and evidence, of pairs whose hashes are not near enough."""
    return {pair["test"]: (pair["verdict"], pair["evidence"]) for pair in overlap.pairs if pair["distance"] > 31}


def test_candidates_are_compared_where_the_corpus_is_at_hand(dedup: Transfer, tmp_path: Path) -> None:
    corpus = fill(tmp_path / "corpus", range(6))
    cut = {f"{seed}.jpg": encode(picture(seed)[4:-4, 4:-4]) for seed in range(6)}
    index = tmp_path / "c.index"
    dedup("index", corpus, "-o", index)
    dedup("check", index, write(tmp_path / "tests", cut), "-o", tmp_path / "with.json")
    compared = candidates(read_overlap(tmp_path / "with.json"))
    assert len(compared) >= 2 and set(compared.values()) == {("duplicate", "pixels")}
    moved = Path(shutil.move(index, tmp_path / "published.index"))
    shutil.rmtree(corpus)
    (moved / "sources.json").unlink()
    dedup("check", moved, tmp_path / "tests", "-o", tmp_path / "without.json")
    left = read_overlap(tmp_path / "without.json")
    assert candidates(left) == dict.fromkeys(compared, ("candidate", "hash"))
    assert left.counts["rejected"] == 0


def test_candidates_of_other_pictures_are_rejected(
    dedup: Transfer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "Search", lambda images, **_: Search(images, candidate=110))  # as if they were alike
    dedup("index", corpus, "-o", tmp_path / "c.index")
    dedup("check", tmp_path / "c.index", write(tmp_path / "tests", OTHERS), "-o", tmp_path / "o.json")
    overlap = read_overlap(tmp_path / "o.json")
    assert overlap.counts["rejected"] > 0 and overlap.pairs == ()


def test_the_copy_is_found_behind_a_thousand_that_are_more_alike(
    dedup: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, tests = fill(tmp_path / "corpus", range(9)), write(tmp_path / "tests", OTHERS)
    monkeypatch.setattr(stage, "Search", lambda images, **_: Search(images, candidate=128))  # as if all were alike
    monkeypatch.setattr(evidence, "similarity", lambda test, corpus, way: 0.0)
    assert dedup("index", corpus, "-o", tmp_path / "c.index")[0] == 0
    check = "check", tmp_path / "c.index", tests, "-o", tmp_path / "o.json", "--processes", 1
    assert dedup(*check)[0] == 0 and read_overlap(tmp_path / "o.json").counts["rejected"] == 18
    furthest = (corpus / "008.jpg").read_bytes()
    monkeypatch.setattr(evidence, "similarity", lambda test, corpus, way: float(corpus == furthest))
    monkeypatch.setattr(matching, "MOST_LISTED", 1)
    assert dedup(*check)[0] == 0
    overlap = read_overlap(tmp_path / "o.json")
    assert pairs_of(overlap) == dict.fromkeys(OTHERS, "008.jpg")
    assert (overlap.counts["rejected"], overlap.counts["unlisted"]) == (16, 0)


def test_an_index_of_nothing(dedup: Transfer, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("missing.jpg\n")
    status, printed = dedup("index", tmp_path / "list.txt", "-o", tmp_path / "c.index")
    assert (status, "none of 1 images could be hashed" in printed) == (1, True), printed
    assert "No such file" in (tmp_path / "c.index" / "skipped.jsonl").read_text()
    status, printed = dedup("check", tmp_path / "c.index", fill(tmp_path / "tests", [0]), "-o", tmp_path / "o.json")
    assert (status, "holds no images: nothing can be found in it" in printed) == (1, True), printed


def test_names_that_are_no_text(dedup: Transfer, tmp_path: Path) -> None:
    corpus = fill(tmp_path / "corpus", [0])
    (corpus / "000.jpg").rename(os.fsdecode(os.fsencode(corpus) + b"/\xff.jpg"))
    for arguments in (
        ("index", corpus, "-o", tmp_path / "c.index"),
        ("check", tmp_path / "c.index", corpus, "-o", tmp_path / "o.json"),
    ):
        assert dedup(*arguments)[0] == 0
    assert pairs_of(read_overlap(tmp_path / "o.json")) == {"\udcff.jpg": "\udcff.jpg"}
    status, printed = dedup("show", tmp_path / "o.json", "-o", tmp_path / "o.html")
    assert (status, "grey" in printed) == (0, False)


@pytest.mark.parametrize("verb", ["check", "self", "show", "index"])
def test_outputs_are_tried_before_the_work(dedup: Transfer, corpus: Path, tmp_path: Path, verb: str) -> None:
    given = {"check": ("none.index", corpus), "self": ("mini",), "show": ("none.json",), "index": (corpus,)}[verb]
    for output, message in ((tmp_path, "is a folder"), (corpus / "000.jpg" / "o.html", "000.jpg is no folder")):
        if output != tmp_path or verb in ("check", "self"):
            status, printed = dedup(verb, *given, "-o", output)
            assert (status, message in printed) == (1, True), printed


def test_a_suite_is_checked_under_the_names_of_its_annotations(dedup: Transfer, work_dir: Path, tmp_path: Path) -> None:
    corpus, index, output = fill(tmp_path / "corpus", range(3)), tmp_path / "c.index", tmp_path / "overlap.json"
    shutil.copy(work_dir / "data" / "mini" / "val2017" / "000000001007.jpg", corpus / "stolen.jpg")
    assert dedup("index", corpus, "-o", index)[0] == 0
    status, printed = dedup("check", index, "mini", "-o", output, "--work-dir", work_dir)
    assert (status, "64 test images against 4 of c.index: 1 duplicate" in printed) == (0, True), printed
    overlap = read_overlap(output)
    assert pairs_of(overlap) == {"000000001007.jpg": "stolen.jpg"}
    (test,) = overlap.tests
    assert overlap.verdicts(test.name) == {file_sha256(corpus / "stolen.jpg"): "duplicate"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "{index}", "{tests}", "--cosine", "2"), "--cosine must be above 0 and at most 1, not 2.0"),
        (("check", "{index}", "{tests}", "--cosine", "nan"), "--cosine must be above 0"),
        (("check", "{index}", "{tests}", "--bits", "128"), "--bits must be from 31 to 96, not 128"),
        (("check", "{index}", "{tests}", "--processes", "0"), "--processes must be at least 1, not 0"),
        (("check", "{tmp}/none.index", "{tests}"), "none.index is no corpus index: expected manifest.json in it"),
        (("check", "{tests}", "{tests}"), "tests is no corpus index"),
        (("check", "{index}", "{tmp}/none"), "there is no suite, and no file or folder"),
        (("check", "{index}", "{tests}", "--descriptor", "{tmp}/none.pt"), "there is no file"),
        (("index", "{tmp}/none"), "none does not exist"),
        (("index", "{tests}", "--descriptor", "{tests}/equal.jpg"), "UnreadableCheckpoint"),
        (("self", "minni"), "Did you mean mini"),
    ],
)
def test_what_cannot_work_ends_with_a_message(
    dedup: Transfer, tests: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    dedup("index", tests, "-o", tmp_path / "c.index")
    given = [part.format(index=tmp_path / "c.index", tests=tests, tmp=tmp_path) for part in arguments]
    status, printed = dedup(*given, "-o", tmp_path / "output")
    assert (status, message in printed) == (1, True), printed
    assert not (tmp_path / "output").exists()


def test_an_index_does_not_go_into_a_folder_of_something_else(dedup: Transfer, corpus: Path, tests: Path) -> None:
    status, printed = dedup("index", corpus, "-o", tests)
    assert (status, "exists and is no corpus index. Name a new folder" in printed) == (1, True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_ray_writes_what_one_process_writes(dedup: Transfer, corpus: Path, tests: Path, tmp_path: Path) -> None:
    import ray

    inputs = [corpus, fill(tmp_path / "more", range(20, 23))]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        for name, more in (("here", ()), ("ray", ("--ray", "local"))):
            (tmp_path / name).mkdir()
            assert dedup("index", *inputs, "-o", tmp_path / name / "c.index", *more)[0] == 0
            checked = tmp_path / name / "c.index", tests, "-o", tmp_path / name / "o.json"
            assert dedup("check", *checked, *more)[0] == 0
    finally:
        ray.shutdown()
    for file in ("c.index/manifest.json", "c.index/skipped.jsonl", "o.json"):
        assert (tmp_path / "here" / file).read_text() == (tmp_path / "ray" / file).read_text()


@pytest.mark.real_data
def test_resized_photographs_are_found_in_their_clusters(dedup: Transfer, shared_data: Path, tmp_path: Path) -> None:
    """Caltech-101, 17 photographs resized at random; UKBench, ten and copies of one, one file corrupt."""
    folder = shared_data / "near_duplicates"
    with (folder / "caltech_101_rand_resize_clusters.csv").open() as file:
        clusters = {row["file"]: row["cluster"] for row in csv.DictReader(file)}
    assert dedup("index", folder, "-o", tmp_path / "c.index")[0] == 0
    (skipped,) = map(json.loads, (tmp_path / "c.index" / "skipped.jsonl").read_text().splitlines())
    assert skipped["image"].endswith("ukbench09268_corrupt.jpg") and skipped["reason"]
    status, printed = dedup("check", tmp_path / "c.index", folder, "-o", tmp_path / "o.json")
    assert status == 0, printed
    overlap = read_overlap(tmp_path / "o.json")
    assert (overlap.counts["pairs"]["candidate"], overlap.counts["pairs"]["undecidable"]) == (0, 0)
    found = {(Path(pair["test"]).name, Path(pair["corpus"]).name) for pair in overlap.pairs}
    expected = {(one, other) for one in clusters for other in clusters if clusters[one] == clusters[other]}
    assert {pair for pair in found if pair[0] in clusters or pair[1] in clusters} == expected
    (copied,) = {frozenset(other for one, other in found if one == name) for name in ("ukbench00120.jpg",)}
    assert {"ukbench00120.jpg", "ukbench00120_hflip.jpg", "ukbench00120_resize.jpg"} <= copied
    assert all(name.startswith("ukbench00120") for name in copied)


def shapes(seed: int) -> np.ndarray:
    """`(240, 320, 3)`: many small things, as photographs show them."""
    rng = np.random.default_rng(seed)
    pixels = picture(seed, 240, 320) // 2
    for _ in range(120):
        (x, y), (width, height) = rng.integers(0, (320, 240)), rng.integers(4, 24, 2)
        colour = rng.integers(0, 256, 3).tolist()
        cv2.rectangle(pixels, (int(x), int(y)), (int(x + width), int(y + height)), colour, -1)
    return pixels


def test_crops_and_rotations_are_found_by_their_parts(tmp_path: Path) -> None:
    """A hash of the image cannot see them; they are found only where the index keeps local features."""
    whole = [shapes(seed) for seed in range(3)]
    for folder in ("tests", "corpus"):
        (tmp_path / folder).mkdir()
    for number, pixels in enumerate(whole):
        (tmp_path / "tests" / f"{number}.jpg").write_bytes(encode(pixels))
    turn = cv2.getRotationMatrix2D((160, 120), 20, 1)
    copies = {
        "crop": whole[0][50:200, 60:270],
        "turned": cv2.warpAffine(whole[1], turn, (320, 240)),
        "other": picture(9),
    }
    for name, pixels in copies.items():
        (tmp_path / "corpus" / f"{name}.jpg").write_bytes(encode(pixels))
    found = {}
    for options in ((), ("--parts",)):
        index, output = tmp_path / f"c{len(options)}.index", tmp_path / f"{len(options)}.json"
        assert cli.main(["dedup", "index", str(tmp_path / "corpus"), "-o", str(index), *options]) == 0
        assert cli.main(["dedup", "check", str(index), str(tmp_path / "tests"), "-o", str(output)]) == 0
        found[options] = {(pair["test"], pair["corpus"], pair["evidence"]) for pair in read_overlap(output).pairs}
    assert found == {(): set(), ("--parts",): {("0.jpg", "crop.jpg", "pixels"), ("1.jpg", "turned.jpg", "pixels")}}
