"""Data in a plan: subsets are protocols of their own, and everything wrong is said before anything starts."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from transfer.errors import BadOption, BrokenAnnotation, FingerprintMismatch
from transfer.schemas.suite import load_suite, suite_path
from transfer.stages.convert import convert
from transfer.stages.job import Job
from transfer.workflows.plan import Deviations, plan


def _plan(work_dir: Path, suite: str = "mini", root: Path | None = None, **overrides: str) -> list[Job]:
    deviations = Deviations(("detection",) if suite == "mini" else (), (), overrides)
    origin = convert("random:resnet18", work_dir)
    return plan(origin, load_suite(suite_path(suite)), deviations, work_dir, root or work_dir / "nowhere")


def test_a_subset_trains_on_fewer_images_under_another_protocol(work_dir: Path) -> None:
    full, part, same, other = (
        _plan(work_dir, **overrides)[0]
        for overrides in ({}, {"subset": "5 per class"}, {"subset": "5pc"}, {"subset": "10%"})
    )
    assert (
        len({job.run.protocol for job in (full, part, other)}) == len({job.folder for job in (full, part, other)}) == 3
    )
    assert part.run == same.run and part.run.overrides == {"subset": "5pc"}
    assert other.data["train"]["images"] == 16 and other.data["train"]["subset"] == "10%"
    assert part.data["test"] == full.data["test"] and part.test == full.test
    assert part.data["train"]["sha256"] != full.data["train"]["sha256"]
    config = other.config.read_text(encoding="utf-8")
    assert str(work_dir / "data/derived/subset-") in config and "instances_train2017.json" not in config


def test_the_record_of_all_images_says_no_more_than_before(work_dir: Path) -> None:
    (job,) = _plan(work_dir)
    assert job.data["train"].keys() == job.data["test"].keys() == {"dataset", "images", "sha256"}


def test_an_amount_that_is_none_is_refused_before_the_data_are_read(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="--subset takes a share"):
        _plan(tmp_path, subset="ten")
    assert not (tmp_path / "data").exists()


def test_what_is_wrong_with_all_tasks_is_one_error_and_no_run_is_there(shared_data: Path, tmp_path: Path) -> None:
    base = tmp_path / "coco"
    shutil.copytree(shared_data / "coco_mini", base)
    (base / "annotations/instances_train2017.json").write_text("{")
    (base / "annotations/person_keypoints_val2017.json").write_text("[")
    with pytest.raises(BrokenAnnotation) as caught:
        _plan(tmp_path / "work", "coco", tmp_path)
    assert all(part in str(caught.value) for part in ("instances_train2017.json", "person_keypoints_val2017.json"))
    assert not list((tmp_path / "work").glob("random-*--*"))


def test_test_images_that_were_trained_on_are_counted(shared_data: Path, tmp_path: Path) -> None:
    base = tmp_path / "coco"
    shutil.copytree(shared_data / "coco_mini", base)
    for end in ("instances", "person_keypoints"):
        shutil.copy(base / f"annotations/{end}_val2017.json", base / f"annotations/{end}_train2017.json")
    shutil.rmtree(base / "train2017")
    shutil.copytree(base / "val2017", base / "train2017")
    suite = load_suite(suite_path("coco"))
    suite = replace(suite, tasks=suite.tasks[:1])
    (job,) = plan(convert("random:resnet18", tmp_path), suite, Deviations(), tmp_path / "work", tmp_path)
    assert job.data["test"]["also_in_train"] == 79


def test_another_definition_of_a_step_is_another_protocol_and_another_run(
    work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plan(work_dir)
    monkeypatch.setattr("transfer.workflows.plan.TRAINING", 1)
    with pytest.raises(FingerprintMismatch, match="they differ in work, protocol"):
        _plan(work_dir)
