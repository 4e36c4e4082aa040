from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from transfer import cli

VERBS = ("eval", "inspect", "convert", "pretrain", "leaderboard", "suites", "families", "doctor")


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "transfer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_names_every_verb_and_imports_no_torch() -> None:
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['numpy'] = None\n"
        "from transfer.cli import main\nmain(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)


def test_suites_are_listed_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["suites"]) == 0
    printed = capsys.readouterr().out
    assert "mini:" in printed and "faster_rcnn_fpn_coco" in printed


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


@pytest.mark.parametrize("text", ["lr0.1", "=", "nothing"])
def test_set_needs_an_assignment(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with_equals = "=" in text
    assert cli.main(["eval", "random:resnet18", "mini", "--set", text]) == 1 or with_equals
    assert capsys.readouterr().err


def test_full_disk_is_said_in_one_paragraph(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "README.md"))

    monkeypatch.setattr("transfer.board.markdown.build_board", full)
    assert cli.main(["leaderboard", "--board", str(tmp_path)]) == 1
    assert "the disk is full" in capsys.readouterr().err


def test_module_and_script_are_the_same_program() -> None:
    assert run("--version").stdout.startswith("transfer ")
