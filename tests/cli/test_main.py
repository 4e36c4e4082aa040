from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from transfer import cli

HEAVY = {"torch", "numpy", "timm", "mmengine", "matplotlib", "PIL"}


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "transfer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize("verb", ["--help", "--version", "families", "archs", "suites"])
def test_lists_are_printed_without_heavy_imports(verb: str) -> None:
    code = (
        "import sys\nfrom transfer.cli import main\n"
        f"try: main([{verb!r}])\nexcept SystemExit: pass\n"
        f"assert not (found := {HEAVY} & set(sys.modules)), found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_suites_are_listed_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["suites"]) == 0
    printed = capsys.readouterr().out
    assert "mini:" in printed and "faster_rcnn_fpn" in printed and "coco-mini" in printed


def test_unknown_suite_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "random:resnet18", "coko"]) == 1
    message = capsys.readouterr().err
    assert "UnknownName" in message and "Did you mean coco" in message


def test_unknown_task_names_the_suites(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["eval", "random:resnet18", "mini", "--tasks", "detektion", "--work-dir", str(tmp_path)]
    assert cli.main(arguments) == 1
    assert "Did you mean detection" in capsys.readouterr().err


def test_unknown_architecture_of_the_control(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "random:resnet19", "mini"]) == 1
    assert "resnet18" in capsys.readouterr().err


def test_missing_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["eval", str(tmp_path / "none.pth"), "mini"]) == 1
    assert "there is no file" in capsys.readouterr().err


OBJECT = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [0, 0, 40, 40], "area": 1600, "iscrowd": 0}
TRUTH = {"images": [{"id": 1}], "categories": [{"id": 2, "name": "cat"}], "annotations": [OBJECT]}
FOUND = [{"image_id": 1, "category_id": 2, "bbox": [0, 0, 40, 40], "score": 0.9}]


@pytest.fixture
def scored(tmp_path: Path) -> tuple[str, str]:
    paths = tmp_path / "found.json", tmp_path / "truth.json"
    for path, value in zip(paths, (FOUND, TRUTH), strict=True):
        path.write_text(json.dumps(value), encoding="utf-8")
    return str(paths[0]), str(paths[1])


def test_scores_are_a_table_of_percentages(scored: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", *scored, "--metric", "bbox"]) == 0
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert (lines["AP"], lines["AP75"], lines["APs"]) == ("100.00", "100.00", "—")


def test_scores_as_json_have_the_names_of_coco(scored: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", *scored, "--metric", "bbox", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert " ".join(scores) == "AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl"
    assert scores["AP50"] == pytest.approx(1) and scores["APs"] == -1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "boxes"], "UnknownName: there is no metric 'boxes'"),
        (["--metric", "bbox", "--classes", "3"], "BadOption: --classes and --ignore are for label maps"),
        (["--metric", "keypoints"], "entry 0 lacks keypoints"),
        (["--metric", "miou"], "BadOption: label maps need --classes"),
        (["--metric", "miou", "--classes", "3"], "MissingData: .*expected a folder of label maps"),
    ],
)
def test_scores_that_cannot_be(
    scored: tuple[str, str], capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert cli.main(["score", *scored, *options]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_scoring_imports_no_torch(scored: tuple[str, str]) -> None:
    code = (
        f"import sys\nsys.modules['torch'] = None\n"
        f"from transfer.cli import main\nsys.exit(main(['score', *{scored}, '--metric', 'bbox']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["lr0.1", "=", "=3", "nothing"])
def test_set_needs_an_assignment(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(["eval", "random:resnet18", "mini", "--set", text])
    assert ended.value.code == 2
    message = "argument --set: expected KEY=VALUE, for example optim_wrapper.optimizer.lr=0.01; got"
    assert f"{message} {text!r}" in capsys.readouterr().err


def status_of_a_board_that_raises(error: OSError, monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    monkeypatch.setattr("transfer.board.markdown.build_board", Mock(side_effect=error))
    return cli.main(["leaderboard", "--board", str(folder)])


def test_full_disk_is_said_in_one_paragraph(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "README.md"))
    assert status_of_a_board_that_raises(error, monkeypatch, tmp_path) == 1
    assert "the disk is full" in capsys.readouterr().err


def test_a_file_that_may_not_be_read_or_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "README.md"))
    assert status_of_a_board_that_raises(error, monkeypatch, tmp_path) == 1
    assert capsys.readouterr().err == f"transfer: Permission denied: {tmp_path / 'README.md'}\n"


def test_module_and_script_are_the_same_program() -> None:
    assert run("--version").stdout.startswith("transfer ")


def test_errors_of_the_system_without_a_file_are_messages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    error = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert status_of_a_board_that_raises(error, monkeypatch, tmp_path) == 1
    assert capsys.readouterr().err == "transfer: Connection refused\n"


def test_a_reader_of_the_output_may_leave() -> None:
    command = f"set -o pipefail; {sys.executable} -m transfer families | true"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=buffered)
    assert (done.returncode, done.stderr) == (141, "")
