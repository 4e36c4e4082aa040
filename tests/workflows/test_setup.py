"""Pose tasks without mmpose: refused with the command that installs it, while the others run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transfer import cli
from transfer.errors import MissingPackage
from transfer.files import packages
from transfer.schemas.suite import load_suite, suite_path
from transfer.workflows.setup import install_pose, runnable

MINI = load_suite(suite_path("mini"))


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The packages that are installed, by name; none to begin with, but for pip."""
    found: dict[str, str] = {}
    monkeypatch.setattr(packages, "version", found.get)
    monkeypatch.setattr("transfer.workflows.setup.find_spec", lambda name: name == "pip")
    return found


@pytest.fixture
def commands(present: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run; each installs what it names."""
    asked: list[list[str]] = []

    def install(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        present.update({"mmpose": "1.3.2", "munkres": "3.0.0"})
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", install)
    return asked


def test_a_pose_task_is_refused_by_name_and_the_others_are_left(
    present: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [task.name for task in runnable(MINI.tasks)] == ["detection", "segmentation"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "transfer: task 'pose' is refused: it needs mmpose==1.3.2 and munkres, not installed here. "
        "Install with: transfer setup pose"
    )


def test_nothing_is_refused_where_all_of_it_is_installed(
    present: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    present.update({"mmpose": "1.3.2", "munkres": "3.0.0"})
    assert runnable(MINI.tasks) == list(MINI.tasks)
    assert not capsys.readouterr().err


def test_a_request_of_nothing_else_ends_before_anything_is_read(
    present: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(MissingPackage, match="transfer setup pose"):
        runnable([MINI.task("pose")])
    assert cli.main(["eval", "random:resnet18", "mini", "--tasks", "pose", "--work-dir", str(tmp_path / "work")]) == 1
    assert "MissingPackage: task 'pose' is refused" in capsys.readouterr().err
    assert not (tmp_path / "work" / "data").exists()


def test_pip_of_the_running_interpreter_is_asked_once_and_asks_nothing(commands: list[list[str]]) -> None:
    assert install_pose() == "pose tasks can run: mmpose==1.3.2 and munkres were installed"
    assert install_pose() == "pose tasks can run: mmpose==1.3.2 and munkres are installed already"
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[4:] == ["--no-input", "--no-deps", "mmpose==1.3.2", "munkres"]


def test_only_what_is_missing_is_installed(commands: list[list[str]], present: dict[str, str]) -> None:
    present["munkres"] = "1.1.4"
    install_pose()
    assert commands[0][-2:] == ["--no-deps", "mmpose==1.3.2"]


def test_uv_serves_an_environment_without_pip(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer.workflows.setup.find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/somewhere/{name}")
    install_pose()
    assert commands[0][:5] == ["/somewhere/uv", "pip", "install", "--python", sys.executable]
    assert commands[0][5:] == ["--no-deps", "mmpose==1.3.2", "munkres"]


def test_without_any_installer(present: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer.workflows.setup.find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingPackage, match="-m ensurepip"):
        install_pose()


@pytest.mark.parametrize("status", [0, 1])
def test_an_installation_that_fails_or_installs_nothing(
    status: int, present: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess[str](command, status))
    with pytest.raises(MissingPackage, match=r"could not be installed.*The command was: .* --no-deps mmpose==1\.3\.2"):
        install_pose()


def test_the_verb(commands: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["setup", "pose"]) == 0
    assert len(commands) == 1 and "were installed" in capsys.readouterr().out


WITHOUT_MMPOSE = """
import sys
from transfer.files import packages
found = packages.version
packages.version = lambda name: None if name == "mmpose" else found(name)
sys.modules["mmpose"] = None
from transfer.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_other_tasks_are_published_and_the_status_says_that_one_was_not(furnished: Path, tmp_path: Path) -> None:
    places = ["--work-dir", str(furnished), "--board", str(tmp_path / "board")]
    command = ["eval", "random:resnet18", "mini", "--iterations", "1", "--images-per-step", "2", *places]
    done = subprocess.run([sys.executable, "-c", WITHOUT_MMPOSE, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.index("task 'pose' is refused") < done.stderr.index("detection seed 0")
    assert [path.name.split("--")[1] for path in sorted((tmp_path / "board" / "records").glob("*.json"))] == [
        "mini-detection",
        "mini-segmentation",
    ]
    assert "control" in done.stdout
