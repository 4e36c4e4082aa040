"""Finished runs under a metric that is defined anew: scored from their predictions, nothing trained or overwritten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.test_records import finish, finished, forbid, published, request
from transfer.errors import RunError
from transfer.files.atomic import write_json
from transfer.metrics import boxes, registry, semantic
from transfer.metrics.metric import Metric
from transfer.stages.score import earlier_scores
from transfer.workflows.evaluate import evaluate, prepare
from transfer.workflows.rescore import rescore

Finished = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Work and board of a run, and its folder."""
    work_dir, board = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("board")
    _, job, _ = finished(work_dir, board, seed=0)
    return work_dir, board, job.folder


@pytest.fixture
def done(run: Finished, monkeypatch: pytest.MonkeyPatch) -> Iterator[Finished]:
    """The same, put back as it was afterwards; nothing may be trained or predicted."""
    forbid(monkeypatch)
    _, board, folder = run
    before = {path: path.read_bytes() for path in (*folder.glob("*.json"), *board.rglob("*.json"))}
    yield run
    for path in (*folder.glob("*.json"), *board.rglob("*.json")):
        path.write_bytes(before[path]) if path in before else path.unlink()


def define(monkeypatch: pytest.MonkeyPatch, metric: Metric = boxes.METRIC, **changes: Any) -> None:
    anew = replace(metric, **changes)
    monkeypatch.setattr(registry, "METRICS", (anew,))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def halves(files: Any) -> dict[str, float]:
    return dict.fromkeys(boxes.BOX_SCORES, 0.5)


def test_the_same_definition_changes_nothing(done: Finished) -> None:
    work_dir, board, folder = done
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert rescore(work_dir, board) == f"{folder.name}: unchanged"
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_another_definition_is_published_beside_what_was(done: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    work_dir, board, folder = done
    (old,), scores = published(board), read(folder / "scores.json")
    define(monkeypatch, definition="box AP, corrected", evaluate=halves)
    assert rescore(work_dir, board) == f"{folder.name}: AP 0.00 → 50.00 (box AP, corrected)"
    (new,) = published(board)
    assert new["scores"] == halves(None) and new["run"]["protocol"] != old["run"]["protocol"]
    assert {key: new["run"][key] for key in new["run"] if key != "protocol"} == {
        key: old["run"][key] for key in old["run"] if key != "protocol"
    }
    for key in ("predictions", "data", "environment", "certificate", "overlap"):
        assert new[key] == old[key]
    assert read(folder / "record.json") == new and read(folder / "run.json")["run"] == new["run"]
    assert read(folder / f"record-{old['run']['protocol'][:8]}.json") == old
    kept = next(folder.glob("scores-*.json"))
    assert read(kept) == scores and read(folder / "scores.json")["metric"] == "box AP, corrected"
    assert "50.0" in (board / "README.md").read_text(encoding="utf-8")
    assert rescore(work_dir, board) == f"{folder.name}: unchanged"


def test_the_protocol_is_that_of_a_run_planned_anew(done: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    work_dir, board, folder = done
    define(monkeypatch, definition="box AP, corrected", evaluate=halves)
    rescore(work_dir, board)
    (job,) = prepare(request(work_dir, board, seed=0))
    assert read(folder / "record.json")["run"] == json.loads(json.dumps(job.run.to_json()))
    assert earlier_scores(job, boxes.METRIC.definition).exists()


def test_other_numbers_under_the_same_definition_are_refused(done: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    work_dir, board, folder = done
    before = published(board), read(folder / "scores.json")
    define(monkeypatch, evaluate=halves)
    with pytest.raises(RunError, match=r"AP, AP50, .* otherwise under the same definition .*: AP 0\.5, it was 0\.0"):
        rescore(work_dir, board)
    assert (published(board), read(folder / "scores.json")) == before


def test_predictions_that_changed_are_refused(done: Finished) -> None:
    work_dir, board, folder = done
    write_json(folder / "predictions.json", [{}])
    with pytest.raises(RunError, match=r"predictions\.json is not what its record was scored from"):
        rescore(work_dir, board)


def test_one_run_that_fails_does_not_keep_others(done: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    work_dir, board, _ = done
    broken = work_dir / "a-broken-run"
    broken.mkdir()
    write_json(broken / "record.json", {})
    define(monkeypatch, definition="box AP, corrected", evaluate=halves)
    with pytest.raises(RunError, match=r"(?s)a-broken-run: not scored: .* no finished run.*AP 0\.00 → 50\.00"):
        rescore(work_dir, board)
    assert published(board)[0]["scores"] == halves(None)
    (broken / "record.json").unlink()
    broken.rmdir()


def test_images_that_were_left_out_need_their_manifests(done: Finished) -> None:
    work_dir, board, folder = done
    run = read(folder / "run.json")
    write_json(folder / "run.json", {**run, "run": {**run["run"], "excluded": "ab" * 8}})
    assert "left as it is: it leaves out test images" in rescore(work_dir, board)


def test_label_maps_are_scored_from_their_folder(run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    work_dir, board, _ = run
    asked = request(work_dir, board, seed=0, task="segmentation")
    (job,) = prepare(asked)
    shutil.copytree(job.test.annotations, job.predictions)
    predictions = {path: path.read_bytes() for path in job.predictions.iterdir()}
    finish(job)
    forbid(monkeypatch)
    assert evaluate(asked)[0].scores["mIoU"] == 1
    define(monkeypatch, semantic.METRIC, definition="shares of labels 1 and 2", evaluate=lambda files: {"mIoU": 0.25})
    with pytest.raises(RunError, match="there is no metric 'bbox'"):
        rescore(work_dir, board)
    assert read(job.record)["scores"] == {"mIoU": 0.25}
    assert {path: path.read_bytes() for path in job.predictions.iterdir()} == predictions
    shutil.rmtree(job.folder)


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no finished run"):
        rescore(tmp_path, tmp_path)
