"""The wheel as people install it: by plain pip, into a fresh environment, where there is no compiler."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("TRANSFER_TEST_INSTALL", "")
pytestmark = [
    pytest.mark.install,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not PYTHON, reason="TRANSFER_TEST_INSTALL names no interpreter (make test-install)"),
]


def run(*command: str | Path, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command without this checkout, an active environment or a compiler in its surroundings."""
    ours = {"PYTHONPATH", "VIRTUAL_ENV", "TRANSFER_DATA"}
    surroundings = {key: value for key, value in os.environ.items() if key not in ours}
    surroundings |= {"CC": "false", "CXX": "false", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=cwd, env=surroundings, check=False
    )
    assert done.returncode == status, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment, after `pip install transfer_bench-*.whl`."""
    folder = tmp_path_factory.mktemp("environment")
    run(PYTHON, "-m", "venv", folder / "venv", cwd=folder)
    bin_ = folder / "venv" / "bin"
    run(bin_ / "pip", "wheel", "--no-deps", "--wheel-dir", folder / "dist", ROOT, cwd=folder)
    (wheel,) = (folder / "dist").glob("transfer_bench-*.whl")
    run(bin_ / "pip", "install", wheel, cwd=folder)
    return bin_


def test_mini_runs_from_an_empty_folder_before_and_after_setting_up_pose(installed: Path, tmp_path: Path) -> None:
    transfer, records = installed / "transfer", tmp_path / "leaderboard" / "records"
    evaluate = (transfer, "eval", "random:resnet18", "mini", "--iterations", "2")

    first = run(*evaluate, cwd=tmp_path, status=1)
    assert first.stderr.count("task 'pose' is refused") == 1 and "Install with: transfer setup pose" in first.stderr
    assert len(list(records.glob("*.json"))) == 2 and "control" in first.stdout
    run(*evaluate, "--tasks", "detection,segmentation", cwd=tmp_path)
    assert "MissingPackage" in run(*evaluate, "--tasks", "pose", cwd=tmp_path, status=1).stderr
    assert "pose tasks need it: transfer setup pose" in run(transfer, "doctor", cwd=tmp_path).stdout

    assert "were installed" in run(transfer, "setup", "pose", cwd=tmp_path).stdout
    assert "installed already" in run(transfer, "setup", "pose", cwd=tmp_path).stdout
    run(*evaluate, cwd=tmp_path)
    assert len(list(records.glob("*.json"))) == 3
    assert "ok       pose: mmpose" in run(transfer, "doctor", cwd=tmp_path).stdout
