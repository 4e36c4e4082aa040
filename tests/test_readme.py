"""Every command of the documentation runs: shortened, and through the module that its launcher starts."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from transfer import cli, load_backbone

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/using.md")
TEXT = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS)
COMMANDS = [match.split("  #")[0].strip() for match in re.findall(r"^    ((?:make|tools/|transfer ).*)$", TEXT, re.M)]
RUNS = [command for command in COMMANDS if command.startswith(("tools/", "transfer curve"))]
SHOWN = [command for command in COMMANDS if command.startswith("transfer show")]
QUICK = [command for command in COMMANDS if command.startswith("transfer ") and command not in [*RUNS, *SHOWN]]
SHORT = ["--tasks", "pose", "--iterations", "1", "--images-per-step", "2"]


@pytest.fixture(scope="module")
def folder(work_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would stand: a checkpoint, the embedded data, and a leaderboard with a row."""
    here = tmp_path_factory.mktemp("reader")
    torch.save(resnet18().state_dict(), here / "ckpt.pth")
    (here / "leaderboard").mkdir()
    shutil.copytree(work_dir / "data" / "mini", here / "work_dirs" / "data" / "mini")
    shutil.copytree(ROOT / "leaderboard" / "records", here / "leaderboard" / "records")
    return here


def test_the_documents_have_commands() -> None:
    assert len(QUICK) >= 8 and len(RUNS) >= 5


@pytest.mark.parametrize("command", QUICK)
def test_quick_commands(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    arguments = shlex.split(command)[1:]
    if "--minutes" in arguments:
        arguments[arguments.index("--minutes") + 1] = "0.02"
    assert cli.main(arguments) == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", RUNS)
def test_runs(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(folder)
    if "coco" in command:
        monkeypatch.setenv("TRANSFER_DATA", str(request.getfixturevalue("shared_data") / "coco_mini"))
    launcher, *arguments = shlex.split(command)
    if launcher == "tools/dist.sh":
        arguments = [*arguments[1:], "--processes", arguments[0]]
    verb = arguments.pop(0) if launcher == "transfer" else "eval"
    shortened = [*arguments, *(SHORT if "--tasks" not in arguments else SHORT[2:])]
    if "--processes" not in shortened:
        assert cli.main([verb, *shortened]) == 0
        return
    asked = [sys.executable, "-m", "transfer", verb, *shortened]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("command", SHOWN)
def test_a_run_is_shown(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if not list(folder.glob("work_dirs/*/record.json")):
        assert cli.main(["eval", "ckpt.pth", "mini", *SHORT]) == 0
    run = next(folder.glob("work_dirs/*/record.json")).parent
    assert cli.main(shlex.split(command.replace("work_dirs/RUN", str(run)))[1:]) == 0
    assert (run / "show.png").exists()


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    target = shlex.split(command)[1]
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_python_example(folder: Path) -> None:
    module, report = load_backbone(folder / "ckpt.pth")
    assert report["input"]["mean"] == report.input.mean
    assert len(module(torch.zeros(1, 3, 64, 64))) == 4


def test_the_table_is_the_leaderboards() -> None:
    """As committed: `make demo` writes rows of this machine into the working tree."""
    show = ["git", "-C", str(ROOT), "show", "HEAD:leaderboard/README.md"]
    board = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    unlinked = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", board)
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "resnet18`" in line]
    assert len(rows) >= 2
    assert all(row in unlinked for row in rows)
