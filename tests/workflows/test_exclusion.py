"""Test images that are left out: what ranks, what stands in the record, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from transfer.checkpoints.families import FAMILIES
from transfer.dedup.hashing import VERSION
from transfer.dedup.overlap import Overlap, images_sha256, read_overlap
from transfer.errors import BadOption
from transfer.files.atomic import write_json
from transfer.files.fingerprint import file_sha256
from transfer.schemas.run import CONTROL
from transfer.stages import fit as fitting
from transfer.stages import predict as predicting
from transfer.stages.exclusion import digest_of, exclude, read_overlaps, without_measuring
from transfer.stages.job import Job
from transfer.workflows.evaluate import Request, evaluate, prepare
from transfer.workflows.plan import Deviations

HASHES = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")}


def write_manifest(
    path: Path, hashes: Mapping[str, str], verdicts: Mapping[str, str], skipped: Mapping[str, str] | None = None
) -> Path:
    """An overlap whose test set is `hashes`, with a pair for each of `verdicts`."""
    pairs = [
        {
            "test_set": "set", "test": image, "test_sha256": hashes[image],
            "corpus_source": "web", "corpus": "1.jpg", "corpus_sha256": "0" * 64,
            "distance": 3, "transform": "none", "cosine": None, "similarity": None, "verdict": verdict,
            "evidence": "hash",
        }
        for image, verdict in verdicts.items()
    ]  # fmt: skip
    test = {"name": "set", "images": len(hashes), "sha256": images_sha256(hashes.values())}
    write_json(
        path,
        {
            "schema": 1,
            "hash": VERSION,
            "thresholds": {},
            "corpus": {"name": path.stem, "images": 9, "skipped": 0, "sha256": "c" * 64, "descriptor": None},
            "tests": [{**test, "skipped": dict(skipped or {}), "undecidable": {}}],
            "counts": {"images": {"duplicate": 0, "candidate": 0, "undecidable": 0}},
            "pairs": pairs,
        },
    )
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Overlap]:
    def make(name: str = "web", hashes: Mapping[str, str] = HASHES, **verdicts: Any) -> Overlap:
        found = {image.replace("_", "."): verdict for image, verdict in verdicts.items()}
        return read_overlap(write_manifest(tmp_path / f"{name}.json", hashes, found))

    return make


def test_only_images_without_a_verdict_are_clean(manifest: Callable[..., Overlap]) -> None:
    found = exclude([manifest(a_jpg="duplicate", b_jpg="candidate", c_jpg="undecidable")], "task", HASHES)
    assert found is not None
    assert (found.clean, found.duplicates) == (["d.jpg"], ["a.jpg"])
    assert found.counts == {"images": 4, "clean": 1, "duplicate": 1, "candidate": 1, "undecidable": 1}


def test_sets_that_share_names_are_told_apart(tmp_path: Path) -> None:
    other = {name: hashlib.sha256(f"other {name}".encode()).hexdigest() for name in HASHES}
    data = json.loads(write_manifest(tmp_path / "one.json", HASHES, {"a.jpg": "duplicate"}).read_text())
    second = json.loads(
        write_manifest(tmp_path / "two.json", other, {"a.jpg": "candidate"}, {"b.jpg": "gone"}).read_text()
    )
    for part in ("tests", "pairs"):
        data[part] += [
            {**each, **({"name": "more"} if part == "tests" else {"test_set": "more"})} for each in second[part]
        ]
    write_json(tmp_path / "both.json", data)
    overlap = read_overlap(tmp_path / "both.json")
    verdicts = [exclude([overlap], "task", hashes) for hashes in (HASHES, other)]
    assert [found and dict(found.verdicts) for found in verdicts] == [
        {"a.jpg": "duplicate"},
        {"a.jpg": "candidate", "b.jpg": "undecidable"},
    ]


def test_an_image_that_cannot_be_told_is_not_clean(tmp_path: Path) -> None:
    data = json.loads(write_manifest(tmp_path / "one.json", HASHES, {}).read_text())
    data["tests"][0]["undecidable"] = {"under/another/name.jpg": HASHES["c.jpg"]}
    write_json(tmp_path / "one.json", data)
    found = exclude([read_overlap(tmp_path / "one.json")], "task", HASHES)
    assert found is not None and found.verdicts == {"c.jpg": "undecidable"}


def test_what_any_corpus_holds_is_left_out_with_the_gravest_verdict(manifest: Callable[..., Overlap]) -> None:
    first, second = manifest("one", a_jpg="candidate", b_jpg="duplicate"), manifest("two", a_jpg="duplicate")
    for order in ([first, second], [second, first]):
        found = exclude(order, "task", HASHES)
        assert found is not None and found.verdicts == {"a.jpg": "duplicate", "b.jpg": "duplicate"}
        assert found.digest == digest_of([{"sha256": second.sha256}, {"sha256": first.sha256}])


def test_images_are_known_by_content_whatever_they_are_called(manifest: Callable[..., Overlap]) -> None:
    renamed = {f"elsewhere/{name}": sha256 for name, sha256 in HASHES.items()}
    found = exclude([manifest(a_jpg="duplicate")], "task", renamed)
    assert found is not None and found.duplicates == ["elsewhere/a.jpg"]


def test_copies_of_a_duplicate_are_duplicates(manifest: Callable[..., Overlap]) -> None:
    found = exclude([manifest(a_jpg="duplicate")], "task", {**HASHES, "copy.jpg": HASHES["a.jpg"]})
    assert found is not None and found.duplicates == ["a.jpg", "copy.jpg"]


def test_an_image_that_could_not_be_hashed_is_not_clean(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "web.json", HASHES, {}, {"b.jpg": "truncated"})
    found = exclude(read_overlaps([path]), "task", HASHES)
    assert found is not None and found.verdicts == {"b.jpg": "undecidable"}


def test_a_manifest_of_other_images_is_refused(manifest: Callable[..., Overlap]) -> None:
    with pytest.raises(BadOption, match=r"made for other test images than those of task 'task' \(1 images"):
        exclude([manifest(a_jpg="duplicate")], "task", {"a.jpg": HASHES["a.jpg"]})


def test_nothing_clean_is_refused(manifest: Callable[..., Overlap]) -> None:
    with pytest.raises(BadOption, match="no clean test image of 4"):
        exclude([manifest(**{name.replace(".", "_"): "duplicate" for name in HASHES})], "task", HASHES)


def test_the_same_manifest_twice_counts_once(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "web.json", HASHES, {"a.jpg": "duplicate"})
    assert len(read_overlaps([path, path])) == 1
    assert exclude(read_overlaps([]), "task", HASHES) is None


def test_formulas_and_controls_cannot_have_seen_photographs() -> None:
    assert without_measuring(CONTROL, None)["status"] == "none by construction"
    drawn = [each.name for each in FAMILIES if "none" in without_measuring("ab", {"family": each.name})["status"]]
    assert drawn == ["fdsl"]
    assert without_measuring("ab", {"family": "rules of a user"}) == {"status": "unknown"}


@pytest.fixture(scope="module")
def scored(furnish: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Job]:
    """A run of random:resnet18 on mini boxes whose predictions are the truth of every second image."""
    folder = furnish(tmp_path_factory.mktemp("scored"))
    asked = Request("random:resnet18", "mini", Deviations(("detection",)), work_dir=folder, board=folder / "board")
    (job,) = prepare(asked)
    truth = json.loads(job.test.annotations.read_text(encoding="utf-8"))
    wanted = {image["id"] for image in truth["images"][::2]}
    found = [
        {key: entry[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for entry in truth["annotations"]
        if entry["image_id"] in wanted
    ]
    job.model.write_bytes(b"weights")
    write_json(job.fit_cost, {"seconds": 1.0, "images": 6, "environment": {}})
    write_json(job.predict_cost, {"seconds": 1.0, "images": 48, "model": file_sha256(job.model)})
    write_json(job.predictions, found)
    return asked, job


def test_clean_scores_rank_and_the_others_stand_beside(
    scored: tuple[Request, Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, job = scored
    for module, work in ((fitting, "train"), (predicting, "predict_test_images")):
        monkeypatch.setattr(module, work, lambda *_, **__: pytest.fail("this work was done"))
    images = json.loads(job.test.annotations.read_text(encoding="utf-8"))["images"]
    hashes = {image["file_name"]: file_sha256(job.test.images / image["file_name"]) for image in images}
    known = {image["file_name"]: "duplicate" for image in images[:16:2]}
    path = write_manifest(tmp_path / "web.json", hashes, known)
    (full,) = evaluate(asked)
    (clean,) = evaluate(Request(**{**vars(asked), "exclude": (path,)}))
    assert clean.run.fingerprint == full.run.fingerprint and clean.run.protocol != full.run.protocol
    assert clean.overlap["full"] == full.scores
    assert clean.scores["AP"] < full.scores["AP"] < clean.overlap["duplicate"]["AP"] == 1
    gap = clean.overlap["gap"]["AP"]
    assert gap["gap"] == pytest.approx(full.scores["AP"] - clean.scores["AP"])
    assert 0 < gap["low"] <= gap["gap"] <= gap["high"]
    assert clean.overlap["status"] == "none by construction", "a control has not seen what others have"
    assert clean.overlap["manifests"][0]["corpus"]["name"] == "web"
    assert len(list((asked.board / "records").glob("*.json"))) == 2
    board = (asked.board / "README.md").read_text(encoding="utf-8")
    assert "### Without test images that resemble some of `web`" in board
    assert "8 of 64 test images left out" in board
    assert evaluate(Request(**{**vars(asked), "exclude": (path,)})) == [clean]
    assert evaluate(asked)[0].scores == full.scores


def test_a_manifest_of_another_suite_is_refused_before_anything_starts(
    scored: tuple[Request, Job], tmp_path: Path
) -> None:
    path = write_manifest(tmp_path / "web.json", HASHES, {})
    with pytest.raises(BadOption, match="Run `transfer dedup check` on this suite"):
        prepare(Request(**{**vars(scored[0]), "exclude": (path,)}))
