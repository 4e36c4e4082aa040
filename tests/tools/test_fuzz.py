"""A short run of the fuzzer: it finds nothing, and it would notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "tools" / "fuzz" / "checkpoints.py"
NOTICES = """
import os, tempfile
from pathlib import Path
import checkpoints
with tempfile.TemporaryDirectory() as folder:
    reader = checkpoints.Reader(Path(folder))
    for reading in (lambda path: os.mkdir(path.with_name("made")), lambda path: 1 / 0):
        checkpoints.read_checkpoint = reading
        print(reader.outcome("safetensors", b"")[0])
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(PROGRAM.parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, check=False)


def test_a_short_run_finds_nothing() -> None:
    done = run(str(PROGRAM), "--files", "1000", "--processes", "1", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    counts = json.loads(done.stdout.partition(": ")[2])
    assert {"UnreadableCheckpoint", "UnsafeCheckpoint", "UnknownFamily"} <= set(counts)
    assert sum(counts.values()) == 1000


def test_what_runs_or_crashes_is_noticed() -> None:
    done = run("-c", NOTICES)
    assert done.stdout.split() == ["executed", "crash"], done.stderr[-2000:]
