"""Every head that the mini suite leaves out: from a recipe to a record, for a step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transfer import cli
from transfer.spec.places import load_suites

pytestmark = pytest.mark.slow

HEADS = next(suite for suite in load_suites() if suite.name == "mini-heads")
PHOTOGRAPHS = [("real-mini", "instances"), ("real-mini-heads", "upernet"), ("real-mini-heads", "grmi")]
SMALL = ("--iterations", "1", "--images-per-step", "2", "--image-size", "65")


@pytest.mark.parametrize("task", [task.name for task in HEADS.tasks])
def test_a_step_on_the_embedded_data(task: str, work_dir: Path, tmp_path: Path) -> None:
    places = ["--work-dir", str(work_dir), "--board", str(tmp_path)]
    assert cli.main(["eval", "random:resnet18", "mini-heads", "--tasks", task, *SMALL, *places]) == 0
    (record,) = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "records").glob("*.json")]
    assert record["run"]["task"] == task and record["data"]["test"]["images"] == 64


@pytest.mark.real_data
@pytest.mark.parametrize(("suite", "task"), PHOTOGRAPHS)
def test_a_step_on_photographs(
    suite: str, task: str, shared_data: Path, work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(shared_data))
    places = ["--work-dir", str(work_dir), "--board", str(tmp_path)]
    assert cli.main(["eval", "random:resnet18", suite, "--tasks", task, *SMALL, *places]) == 0
    (record,) = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "records").glob("*.json")]
    assert record["run"]["task"] == task and record["data"]["test"]["images"] >= 24
