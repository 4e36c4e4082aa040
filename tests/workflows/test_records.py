"""What is kept, made again or refused around a run, without training: its products are written by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transfer.datasets import preflight
from transfer.datasets.preflight import check_split
from transfer.errors import BadOption, BrokenAnnotation, BrokenRecord, FingerprintMismatch, RunError
from transfer.files.atomic import write_json
from transfer.files.fingerprint import file_sha256
from transfer.files.places import suite_path
from transfer.launch.environment import revision_of
from transfer.metrics import boxes, registry
from transfer.openmmlab.overrides import override
from transfer.openmmlab.resolved import read_config, write_config
from transfer.schemas.record import Record
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import load_suite
from transfer.stages import convert as converting
from transfer.stages import fit as fitting
from transfer.stages import predict as predicting
from transfer.stages.convert import convert
from transfer.stages.job import Job, in_use
from transfer.stages.score import earlier_scores, score
from transfer.workflows import plan as planning
from transfer.workflows.evaluate import Request, evaluate, prepare
from transfer.workflows.plan import Deviations, plan

TRAINED_ON = {"device": "the GPU that trained", "processes": 8}


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the embedded data is drawn once; each test plans a seed of its own."""
    return tmp_path_factory.mktemp("work")


def request(work_dir: Path, board: Path, seed: int, task: str = "detection", **overrides: Any) -> Request:
    deviations = Deviations((task,), (seed,), overrides)
    return Request("random:resnet18", "mini", deviations, work_dir=work_dir, board=board)


def finish(job: Job) -> None:
    """What a fit and a prediction leave behind."""
    job.model.write_bytes(b"weights")
    write_json(job.fit_cost, {"seconds": 1.0, "images": 6, "environment": TRAINED_ON})
    write_json(job.predict_cost, {"seconds": 1.0, "images": 48, "model": file_sha256(job.model)})
    if not job.predictions.exists():
        write_json(job.predictions, [])


def finished(work_dir: Path, board: Path, seed: int, **overrides: Any) -> tuple[Request, Job, Record]:
    asked = request(work_dir, board, seed, **overrides)
    (job,) = prepare(asked)
    finish(job)
    (result,) = evaluate(asked)
    return asked, job, result


def published(board: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in (board / "records").glob("*.json")]


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("this work was done")

    monkeypatch.setattr(fitting, "train", refuse)
    monkeypatch.setattr(predicting, "predict_test_images", refuse)


def test_a_record_tells_where_the_model_was_trained(work_dir: Path, tmp_path: Path) -> None:
    _, _, result = finished(work_dir, tmp_path, seed=1)
    assert result.environment == TRAINED_ON
    assert [record["environment"] for record in published(tmp_path)] == [TRAINED_ON]


def test_a_metric_defined_anew_scores_the_same_predictions_again(
    work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, job, old = finished(work_dir, tmp_path, seed=2)
    forbid(monkeypatch)
    anew = replace(boxes.METRIC, definition="box AP, corrected", evaluate=lambda files: {**old.scores, "AP50": 0.5})
    monkeypatch.setattr(registry, "METRICS", (anew,))
    (new,) = evaluate(asked)
    assert new.scores["AP50"] == 0.5 != old.scores["AP50"]
    assert new.run.protocol != old.run.protocol and new.run.fingerprint == old.run.fingerprint
    assert new.predictions == old.predictions and new.environment == old.environment
    assert published(tmp_path) == [new.to_json()]
    kept = json.loads(earlier_scores(job, boxes.METRIC.definition).read_text(encoding="utf-8"))
    assert (kept["metric"], kept["scores"]) == (boxes.METRIC.definition, old.scores)
    assert json.loads((job.folder / "run.json").read_text(encoding="utf-8"))["run"] == new.run.to_json()


def test_another_head_or_other_data_is_refused(work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, job, _ = finished(work_dir, tmp_path, seed=3)

    def steeper(head: Any, overrides: Any) -> None:
        override(head, overrides)
        head.optim_wrapper.optimizer.lr *= 2

    with monkeypatch.context() as patch, pytest.raises(FingerprintMismatch, match="differ in work"):
        patch.setattr(planning, "override", steeper)
        evaluate(asked)
    with monkeypatch.context() as patch, pytest.raises(FingerprintMismatch, match="differ in work"):
        patch.setattr(preflight, "check_split", lambda *a: replace(check_split(*a), sha256="0" * 64))
        evaluate(asked)
    assert job.model.read_bytes() == b"weights"


def test_a_taken_record_is_found_before_training(
    work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, job, result = finished(work_dir, tmp_path, seed=4)
    taken = tmp_path / "records" / f"{result.run.record_name}.json"
    write_json(taken, replace(result, run=replace(result.run, work="another")).to_json())
    job.model.unlink()
    forbid(monkeypatch)
    with pytest.raises(BrokenRecord, match="expected the file name"):
        evaluate(asked)


def test_another_model_predicts_again(work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, job, _ = finished(work_dir, tmp_path, seed=5)
    job.model.write_bytes(b"other weights")

    def interrupted(*arguments: Any) -> None:
        assert not job.predictions.exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(predicting, "predict_test_images", interrupted)
        evaluate(asked)
    monkeypatch.setattr(predicting, "predict_test_images", lambda config, folder, output: output.write_text("[]"))
    evaluate(asked)
    forbid(monkeypatch)
    evaluate(asked)
    assert json.loads(job.predict_cost.read_text(encoding="utf-8"))["model"] == file_sha256(job.model)


def test_a_config_is_written_until_the_fit_is_done(work_dir: Path, tmp_path: Path) -> None:
    asked = request(work_dir, tmp_path, seed=6)
    (job,) = prepare(asked)
    job.config.write_text("stale = True", encoding="utf-8")
    prepare(asked)
    assert "stale" not in job.config.read_text(encoding="utf-8")
    finish(job)
    kept = read_config(job.config)
    kept.train_cfg.max_iters = 7
    write_config(job.config, kept)
    prepare(asked)
    assert read_config(job.config).train_cfg.max_iters == 7


def test_what_a_killed_fit_left_behind_is_removed(work_dir: Path, tmp_path: Path) -> None:
    asked, job, _ = finished(work_dir, tmp_path, seed=7)
    job.train_state.write_bytes(b"")
    evaluate(asked)
    assert not job.train_state.exists()


def test_a_folder_in_use_is_refused_by_name(work_dir: Path, tmp_path: Path) -> None:
    asked, job, result = finished(work_dir, tmp_path, seed=8)
    with in_use(job), pytest.raises(RunError, match=f"{job.folder.name} is in use"):
        evaluate(asked)
    assert evaluate(asked) == [result]


def test_a_run_survives_its_file_with_any_override(work_dir: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"optim_wrapper.optimizer.lr": 0.5, "model.test_cfg.rcnn.max_per_img": 7}
    asked, job, result = finished(work_dir, tmp_path, seed=9, **changes)
    found = Record.from_json(json.loads(job.record.read_text(encoding="utf-8")))
    assert found.run == result.run == prepare(asked)[0].run
    sizes: dict[str, Any] = {"train_dataloader.dataset.pipeline.2.scale": (96, 96)}
    (resized,) = prepare(request(work_dir, tmp_path, 9, **sizes))
    assert resized.run == RunSpec.from_json(json.loads(json.dumps(resized.run.to_json())))


def test_a_tasks_metric_scores_what_its_head_finds(work_dir: Path) -> None:
    suite = load_suite(suite_path("mini"))
    wrong = replace(suite, tasks=(replace(suite.tasks[0], metric="miou"),))
    with pytest.raises(
        BadOption, match=r"scored by 'miou', but its head 'faster_rcnn_fpn' is for detection, .*'bbox' and 'voc'"
    ):
        plan(convert("random:resnet18", work_dir), wrong, Deviations(), work_dir, work_dir)


def test_any_metric_over_the_same_annotations_scores_a_recipe(work_dir: Path) -> None:
    suite = load_suite(suite_path("mini"))
    anew = replace(suite, tasks=(replace(suite.task("segmentation"), metric="boundary-miou", scores=("mBIoU",)),))
    (job,) = plan(convert("random:resnet18", work_dir), anew, Deviations(seeds=(11,)), work_dir, work_dir)
    (usual,) = prepare(request(work_dir, work_dir, 11, "segmentation"))
    assert usual.run.work == job.run.work and usual.run.protocol != job.run.protocol
    shutil.copytree(job.test.annotations, job.predictions)
    assert score(job)["scores"]["mBIoU"] == 1 and "mIoU" not in score(job)["scores"]


def test_labels_must_mean_the_same_in_both_splits(
    work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(split: Any, *rest: Any) -> Any:
        found = check_split(split, *rest)
        ids = found.category_ids[::-1] if "train" in split.images.name else found.category_ids
        return replace(found, category_ids=ids)

    monkeypatch.setattr(preflight, "check_split", turned)
    with pytest.raises(BrokenAnnotation, match="same categories in the same order"):
        prepare(request(work_dir, tmp_path, seed=10))


def test_a_conversion_is_kept_while_its_weights_are_those_it_wrote(checkpoint: Path, tmp_path: Path) -> None:
    weights = convert(str(checkpoint), tmp_path).weights
    assert weights is not None
    expected, written = file_sha256(weights), weights.stat().st_mtime_ns
    convert(str(checkpoint), tmp_path)
    assert weights.stat().st_mtime_ns == written
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\1\0")
    convert(str(checkpoint), tmp_path)
    assert file_sha256(weights) == expected


def test_other_conversion_rules_convert_anew(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = convert(str(checkpoint), tmp_path).weights
    monkeypatch.setattr(converting, "CONVERSION", converting.CONVERSION + 1)
    assert convert(str(checkpoint), tmp_path).weights != before


def test_the_revision_names_changes_of_code_and_configs_only(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert revision_of(tmp_path) is None
    for name in ("transfer/code.py", "configs/recipe.py", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    clean = revision_of(tmp_path)
    assert clean is not None and len(clean) == 40
    assert revision_of(tmp_path / "transfer") is None  # installed inside somebody's repository
    (tmp_path / "README.md").write_text("2")
    (tmp_path / "notes.txt").write_text("2")
    assert revision_of(tmp_path) == clean
    (tmp_path / "transfer" / "new.py").write_text("2")
    assert revision_of(tmp_path) == f"{clean}+changes"
    (tmp_path / "transfer" / "new.py").unlink()
    (tmp_path / "configs" / "recipe.py").write_text("2")
    assert revision_of(tmp_path) == f"{clean}+changes"


def test_a_dead_writers_leftover_vanishes_and_a_living_ones_stays(tmp_path: Path) -> None:
    path = tmp_path / "file [1].json"
    code = (
        "import os, pathlib, sys; from transfer.files.atomic import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    (leftover,) = tmp_path.iterdir()
    living = leftover.with_name(leftover.name.replace(leftover.name.split(".")[-2], str(os.getppid())))
    living.write_text("half")
    write_json(path, 1)
    assert set(tmp_path.iterdir()) == {path, living}
