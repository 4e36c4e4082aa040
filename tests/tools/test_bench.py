"""The benchmarks run, and the numbers that they compare are the same; how long they take is tested nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "tools" / "bench" / "scores.py"


@pytest.mark.slow
def test_ours_and_theirs_are_the_same_numbers() -> None:
    command = [sys.executable, str(PROGRAM), "--images", "20", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("every number ==") == 6 and done.stdout.count("counts equal: True") == 4
