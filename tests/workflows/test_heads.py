"""Every head that the mini suite leaves out: from its file to a record, for a step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transfer import cli
from transfer.files.places import load_suites
from transfer.schemas.suite import Task

pytestmark = pytest.mark.slow

HEADS = next(suite for suite in load_suites() if suite.name == "mini-heads")
PHOTOGRAPHS = [("real-mini", "instances"), ("real-mini-heads", "upernet"), ("real-mini-heads", "grmi")]
SMALL = ("--iterations", "1", "--images-per-step", "2", "--image-size", "65")
FEW = ("--set", "model.test_cfg.rpn.max_per_img=4", "--set", "model.test_cfg.rcnn.max_per_img=4")
"""Regions of an image: an untrained detector finds something in all of them."""


@pytest.mark.parametrize("task", HEADS.tasks, ids=lambda task: task.name)
def test_a_step_on_the_embedded_data(task: Task, work_dir: Path, tmp_path: Path) -> None:
    places = ["--work-dir", str(work_dir), "--board", str(tmp_path)]
    few = FEW if task.metric in ("bbox", "segm") else ()
    assert cli.main(["eval", "random:resnet18", "mini-heads", "--tasks", task.name, *SMALL, *few, *places]) == 0
    (record,) = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "records").glob("*.json")]
    assert record["run"]["task"] == task.name and record["data"]["test"]["images"] == 64


def test_windows_of_a_plain_vit(work_dir: Path, tmp_path: Path) -> None:
    places = ["--work-dir", str(work_dir), "--board", str(tmp_path), "--tasks", "vitdet"]
    assert cli.main(["eval", "random:vit_tiny_patch16_224", "mini-heads", *SMALL, *FEW, *places]) == 0
    (config,) = work_dir.glob("random-vit_tiny_patch16_224-*--mini-heads-vitdet--*/config.json")
    text = config.read_text(encoding="utf-8")
    assert '"window": 4' in text and "SimpleFeaturePyramid" in text and "LayerDecay" in text


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
