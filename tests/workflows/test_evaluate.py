from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.workflows.conftest import SMALL, transfer
from transfer import cli
from transfer.openmmlab import compose, hooks
from transfer.openmmlab.numerics import precision

TASKS = ("detection", "segmentation", "pose")


def evaluate(checkpoint: str | Path, work_dir: Path, board: Path, *options: str) -> int:
    return cli.main(
        ["eval", str(checkpoint), "mini", *SMALL, "--work-dir", str(work_dir), "--board", str(board), *options]
    )


def records(board: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (board / "records").glob("*.json")]
    return {record["run"]["task"]: record for record in found}


def weights(work_dir: Path, task: str = "detection") -> dict[str, torch.Tensor]:
    (path,) = [path for path in work_dir.glob("*/model.pth") if _task(path) == task]
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def _task(model: Path) -> str:
    run: dict[str, Any] = json.loads((model.parent / "run.json").read_text(encoding="utf-8"))
    return str(run["run"]["task"])


@pytest.fixture(scope="module")
def finished(
    checkpoint: Path, furnish: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A checkpoint's row, all three tasks."""
    work_dir, board = furnish(tmp_path_factory.mktemp("work")), tmp_path_factory.mktemp("board")
    assert evaluate(checkpoint, work_dir, board) == 0
    return work_dir, board


def test_a_row_has_every_task_and_its_provenance(finished: tuple[Path, Path], checkpoint: Path) -> None:
    work_dir, board = finished
    found = records(board)
    assert set(found) == set(TASKS)
    for record in found.values():
        assert record["certificate"]["coverage"] == 1.0
        assert record["certificate"]["family"] == "torchvision"
        assert record["run"]["overrides"] == {"iterations": 3, "images_per_step": 2}
        assert record["cost"]["images_seen"] == 6
        assert len(record["predictions"]["sha256"]) == 64
        assert record["environment"]["processes"] == 1 and record["environment"]["devices"] == torch.cuda.device_count()
        assert record["environment"]["float32"] == precision()
        assert torch.cuda.is_available() or precision() == {"matmul": "ieee", "convolution": "ieee"}
    page = (board / "README.md").read_text(encoding="utf-8")
    assert "plain_resnet18" in page and "iterations" in page
    assert not list(work_dir.rglob("*.tmp")) and not list(work_dir.rglob("train_state.pth"))


def test_asking_again_changes_nothing(finished: tuple[Path, Path], checkpoint: Path) -> None:
    work_dir, board = finished
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    assert evaluate(checkpoint, work_dir, board) == 0
    assert {path: path.read_bytes() for path in board.rglob("*") if path.is_file()} == before


def test_snapshots_are_scored_and_change_nothing(
    finished: tuple[Path, Path], checkpoint: Path, furnished: Path
) -> None:
    whole, board = finished
    options = ("--tasks", "detection", "--snapshots", "2")
    assert evaluate(checkpoint, furnished, furnished / "board", *options) == 0
    (path,) = furnished.glob("*/score_curve.json")
    curve = json.loads(path.read_text(encoding="utf-8"))
    assert [point["step"] for point in curve] == [0, 1, 3]
    assert curve[-1]["scores"] == records(board)["detection"]["scores"]
    uninterrupted = weights(whole)
    assert all(tensor.equal(uninterrupted[name]) for name, tensor in weights(furnished).items())


@pytest.mark.parametrize("task", TASKS)
def test_a_finished_run_can_be_looked_at(
    finished: tuple[Path, Path], task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_dir, _ = finished
    (folder,) = [path.parent for path in work_dir.glob("*/model.pth") if _task(path) == task]
    assert cli.main(["show", str(folder), "-o", str(tmp_path / "sheet.png"), "--images", "2"]) == 0
    assert "6 of 64 test images" in capsys.readouterr().out or task == "pose"
    with Image.open(tmp_path / "sheet.png") as sheet, Image.open(tmp_path / "sheet_curves.png") as curves:
        assert min(*sheet.size, *curves.size) > 300


@pytest.mark.parametrize("missing", ["predictions.json", "scores.json", "config.json", "everything"])
def test_an_unfinished_run_cannot(
    finished: tuple[Path, Path], missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder,) = [path.parent for path in finished[0].glob("*/model.pth") if _task(path) == "pose"]
    for name in ("run.json", "config.json", "scores.json", "predictions.json"):
        if missing not in (name, "everything"):
            shutil.copy(folder / name, tmp_path / name)
    assert cli.main(["show", str(tmp_path)]) == 1
    assert "holds no finished run" in capsys.readouterr().err and not list(tmp_path.glob("*.png"))


def test_scores_are_recomputed_from_predictions(finished: tuple[Path, Path], checkpoint: Path, tmp_path: Path) -> None:
    work_dir, board = finished
    kept = records(board)
    for scores in work_dir.glob("*/scores.json"):
        scores.unlink()
    for record in work_dir.glob("*/record.json"):
        record.unlink()
    assert evaluate(checkpoint, work_dir, tmp_path) == 0
    assert {task: record["scores"] for task, record in records(tmp_path).items()} == {
        task: record["scores"] for task, record in kept.items()
    }


def test_work_of_another_configuration_is_not_overwritten(
    finished: tuple[Path, Path], checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_dir, _ = finished
    (run_file,) = [path.with_name("run.json") for path in work_dir.glob("*/model.pth") if _task(path) == "pose"]
    kept = run_file.read_text(encoding="utf-8")
    changed = json.loads(kept)
    changed["fingerprint"], changed["run"]["protocol"] = "0" * 16, "another"
    run_file.write_text(json.dumps(changed), encoding="utf-8")
    try:
        assert evaluate(checkpoint, work_dir, tmp_path, "--tasks", "pose") == 1
    finally:
        run_file.write_text(kept, encoding="utf-8")
    message = capsys.readouterr().err
    assert "FingerprintMismatch" in message and "0" * 16 in message and "protocol" in message


@pytest.mark.parametrize("task", TASKS)
def test_interrupted_and_resumed_equals_uninterrupted(
    finished: tuple[Path, Path], checkpoint: Path, task: str, furnished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, board = finished
    save = hooks.TrainState.after_train_iter

    def save_and_stop(self: hooks.TrainState, runner: Any, batch_idx: int, **rest: Any) -> None:
        self.save(runner, batch_idx + 1)
        if batch_idx == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(hooks.TrainState, "after_train_iter", save_and_stop)
    assert evaluate(checkpoint, furnished, furnished / "board", "--tasks", task) == 130
    monkeypatch.setattr(hooks.TrainState, "after_train_iter", save)
    assert not (furnished / "board").exists()
    assert evaluate(checkpoint, furnished, furnished / "board", "--tasks", task) == 0
    expected, resumed = weights(whole, task), weights(furnished, task)
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    assert records(furnished / "board")[task]["scores"] == records(board)[task]["scores"]


def test_decoding_processes_change_nothing(
    finished: tuple[Path, Path], checkpoint: Path, furnished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, board = finished
    monkeypatch.setattr(compose, "loader_workers", lambda processes: 1)
    assert evaluate(checkpoint, furnished, furnished / "board", "--tasks", "segmentation") == 0
    expected, decoded_elsewhere = weights(whole, "segmentation"), weights(furnished, "segmentation")
    assert all(torch.equal(expected[name], decoded_elsewhere[name]) for name in expected)
    assert records(furnished / "board")["segmentation"]["scores"] == records(board)["segmentation"]["scores"]


@pytest.mark.slow
def test_killed_anywhere_and_called_again(finished: tuple[Path, Path], checkpoint: Path, tmp_path: Path) -> None:
    _, board = finished
    command = [sys.executable, "-m", "transfer", "eval", str(checkpoint), "mini", *SMALL, "--tasks", "segmentation"]
    command += ["--work-dir", str(tmp_path), "--board", str(tmp_path / "board")]
    for patience in (7, 11, 15, 19):
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, start_new_session=True, **silent)
        time.sleep(patience)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert records(tmp_path / "board")["segmentation"]["scores"] == records(board)["segmentation"]["scores"]
    assert not list(tmp_path.rglob("train_state.pth"))


@pytest.mark.slow
def test_two_processes_equal_one(checkpoint: Path, furnish: Callable[[Path], Path], tmp_path: Path) -> None:
    """Eight images a step: statistics over two, as in ASPP's image pooling, would magnify rounding.

    So does Adam, whose first steps have the size of the rate whatever the gradient's, and a second step: a detector
    samples its proposals by their rank, which rounding swaps. That further steps see the same images is tested in
    tests/openmmlab/test_data.py.
    """
    for processes in ("1", "2"):
        where = ["--work-dir", furnish(tmp_path / processes), "--board", tmp_path / processes, "--processes", processes]
        options = ["--iterations", "1", "--images-per-step", "8", "--set", "optim_wrapper.optimizer.type=SGD"]
        done = transfer("eval", checkpoint, "mini", *options, *where)
        assert done.returncode == 0, done.stderr[-3000:]
        found = records(tmp_path / processes)
        assert [found[task]["environment"]["processes"] for task in TASKS] == [int(processes)] * len(TASKS)
    for task in TASKS:
        alone, together = weights(tmp_path / "1", task), weights(tmp_path / "2", task)
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            says = f"{task} {name}: {{}}".format
            torch.testing.assert_close(together[name], value, rtol=1e-3, atol=3e-5, msg=says)


def test_processes_must_divide_the_step(checkpoint: Path, furnished: Path) -> None:
    done = transfer("eval", checkpoint, "mini", *SMALL, "--work-dir", furnished, "--processes", "3", "--tasks", "pose")
    assert done.returncode != 0
    assert "does not divide by 3 processes" in done.stderr


def test_a_checkpoint_with_a_missing_tensor_gets_no_score(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(checkpoint, weights_only=True)
    del state["layer3.1.conv2.weight"]
    torch.save(state, tmp_path / "damaged.pth")
    assert evaluate(tmp_path / "damaged.pth", tmp_path, tmp_path / "board") == 1
    assert "layer3.1.conv2.weight" in capsys.readouterr().err
    assert not (tmp_path / "board").exists()


def test_missing_data_root_draws_the_layout(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path / "nowhere"))
    assert cli.main(["eval", str(checkpoint), "coco", "--work-dir", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "instances_val2017.json" in message and "TRANSFER_DATA" in message
