"""The launchers in tools/, run as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("--tasks", "pose", "--iterations", "1", "--images-per-step", "2")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=os.environ | environment, check=False
    )


@pytest.fixture
def ready() -> None:
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("no .venv in this checkout (make setup); a test must not install one")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Its name has a space, as files of users do."""
    torch.manual_seed(0)
    path = tmp_path / "my resnet18.pth"
    torch.save(resnet18().state_dict(), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "processes"), [(("tools/eval.sh",), 1), (("tools/dist.sh", "2"), 2)])
def test_a_launcher_writes_a_row(
    ready: None,
    launcher: tuple[str, ...],
    processes: int,
    checkpoint: Path,
    furnish: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    places = ("--work-dir", furnish(tmp_path / "work"), "--board", tmp_path / "board")
    done = run(ROOT / launcher[0], *launcher[1:], checkpoint, "mini", *SHORT, *places, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr[-3000:]
    (record,) = (tmp_path / "board" / "records").glob("*.json")
    assert json.loads(record.read_text(encoding="utf-8"))["environment"]["processes"] == processes
    assert "my_resnet18" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("2",), ("2", "ckpt.pth"), ("ckpt.pth", "mini", "--seeds"), ("0", "a", "b")])
def test_dist_says_how_it_is_called(arguments: tuple[str, ...]) -> None:
    done = run(ROOT / "tools" / "dist.sh", *arguments)
    assert done.returncode == 2
    assert "tools/dist.sh N CKPT SUITE" in done.stderr and "NNODES=2" in done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose interpreter writes down what it is asked, one line per command."""
    root = tmp_path / "a checkout"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "tools").mkdir()
    for name in ("demo.sh", "eval.sh", "dist.sh"):
        shutil.copy(ROOT / "tools" / name, root / "tools")
    for path, text in {
        "tools/setup.sh": "#!/bin/sh\n",
        ".venv/bin/python": '#!/bin/sh\nprintf "%s|" "$PYTHONPATH" "$@" >> "$ASKED"\necho >> "$ASKED"\n',
    }.items():
        (root / path).write_text(text, encoding="utf-8")
        (root / path).chmod(0o755)
    return root


def asked(checkout: Path, *command: str, **environment: str) -> list[list[str]]:
    log = checkout / "asked"
    done = run(checkout / "tools" / command[0], *command[1:], ASKED=str(log), PYTHONPATH="", **environment)
    assert done.returncode == 0, done.stderr
    return [line.split("|")[:-1] for line in log.read_text(encoding="utf-8").splitlines()]


def test_demo_trains_and_compares_in_a_folder_with_a_space(checkout: Path) -> None:
    pretrained = "work_dirs/rcdb-resnet18.pth"
    assert [command[3:] for command in asked(checkout, "demo.sh", DEMO_MINUTES="1")] == [
        ["pretrain", "rcdb", "--arch", "resnet18", "-o", pretrained, "--minutes", "1"],
        ["eval", "random:resnet18", "mini"],
        ["eval", pretrained, "mini"],
    ]


def test_one_machine_runs_this_checkouts_code(checkout: Path) -> None:
    (command,) = asked(checkout, "dist.sh", "3", "a b.pth", "mini")
    assert command == [str(checkout), "-m", "transfer", "eval", "a b.pth", "mini", "--processes", "3"]


def test_several_nodes_meet_at_the_first(checkout: Path) -> None:
    nodes = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "host0"}
    (command,) = asked(checkout, "dist.sh", "4", "a.pth", "coco", **nodes)
    assert command[0] == str(checkout) and command[2] == "torch.distributed.run"
    assert command[3:] == [
        *("--nnodes", "2", "--node-rank", "1", "--master-addr", "host0", "--master-port", "29500"),
        *("--nproc-per-node", "4", "-m", "transfer", "eval", "a.pth", "coco"),
    ]


def interpreter(folder: Path, name: str, version: str, pip: bool) -> None:
    """Answers what is asked of an interpreter, as a Python of that version with or without pip would."""
    new = 0 if version >= "3.11" else 1
    answers = (
        f'case "$*" in *"pip --version") exit {int(not pip)};; --version) echo Python {version};; *) exit {new};; esac'
    )
    (folder / name).write_text(f"#!/bin/sh\n{answers}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_the_interpreter_is_new_enough_and_has_pip(tmp_path: Path) -> None:
    for name, version, pip in [
        ("python3.12", "3.12.1", False),
        ("python3.11", "3.11.9", True),
        ("python3", "3.9", True),
    ]:
        interpreter(tmp_path, name, version, pip)
    done = _choose(tmp_path)
    assert done.stdout.strip() == str(tmp_path / "python3.11"), done.stderr


def test_no_interpreter_says_what_is_needed(tmp_path: Path) -> None:
    interpreter(tmp_path, "python3", "3.12.1", pip=False)
    done = _choose(tmp_path)
    assert done.returncode == 1
    assert "with pip" in done.stderr and "Python 3.12.1" in done.stderr and "PYTHON=" in done.stderr


def _choose(folder: Path) -> subprocess.CompletedProcess[str]:
    bash = shutil.which("bash")
    assert bash
    return run(bash, ROOT / "tools" / "python.sh", PATH=str(folder), PYTHON="")
