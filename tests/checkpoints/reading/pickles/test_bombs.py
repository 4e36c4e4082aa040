from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("bombs.py")
HARMLESS = ("giant memo index", "giant frame")
"""Numbers that another unpickler would allocate memory for, and ours does not."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Read each bomb and say what became of it, in a process of limited memory."""
    folder = tmp_path_factory.mktemp("bombs")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, PROGRAM, folder], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {outcome["name"]: outcome for outcome in map(json.loads, done.stdout.splitlines())}


def test_bombs_are_refused_and_cost_little(outcomes: dict[str, dict[str, Any]]) -> None:
    for name, outcome in outcomes.items():
        assert outcome["outcome"].startswith("read" if name in HARMLESS else "UnreadableCheckpoint"), outcome
        assert outcome["grown"] < 600, outcome  # MB
