from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.workflows.conftest import SMALL
from transfer import cli
from transfer.errors import BadOption
from transfer.launch.processes import dividing, is_first, launch, most_processes, on_first, process_group


@given(st.integers(1, 64), st.lists(st.integers(1, 256), max_size=4))
def test_every_job_divides_and_no_larger_number_would(most: int, steps: list[int]) -> None:
    chosen = dividing(most, steps)
    assert 1 <= chosen <= most and all(images % chosen == 0 for images in steps)
    assert all(any(images % more for images in steps) for more in range(chosen + 1, most + 1))


@pytest.mark.parametrize(("gpus", "asked", "expected"), [(0, None, 1), (8, None, 8), (0, 3, 3), (4, 4, 4), (4, 1, 1)])
def test_most_processes(gpus: int, asked: int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert most_processes(asked) == expected


@pytest.mark.parametrize(("gpus", "asked", "words"), [(0, 0, "at least 1"), (2, -1, "at least 1"), (2, 3, "at most 2")])
def test_numbers_that_cannot_work(gpus: int, asked: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(BadOption, match=words):
        most_processes(asked)


@pytest.mark.parametrize(("rank", "expected"), [("0", True), ("1", False)])
def test_one_process_is_the_first_when_the_group_has_ended(
    rank: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("RANK", rank)
    assert is_first() is expected
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert is_first()


def test_one_process_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with process_group():
        assert not torch.distributed.is_initialized()
        assert on_first(lambda: 3) == 3


@pytest.mark.parametrize(("given_threads", "expected"), [(None, str(max(1, (os.cpu_count() or 1) // 2))), ("7", "7")])
def test_launching_becomes_torchrun(given_threads: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given_threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given_threads)
    calls: list[tuple[list[str], dict[str, str]]] = []

    def execve(path: str, command: list[str], environment: dict[str, str]) -> None:
        calls.append((command, environment))
        raise SystemExit

    monkeypatch.setattr(os, "execve", execve)
    with pytest.raises(SystemExit):
        launch(2, ["eval", "a b.pth", "mini"])
    ((command, environment),) = calls
    assert "--nproc-per-node=2" in command and command[-4:] == ["transfer", "eval", "a b.pth", "mini"]
    assert environment["OMP_NUM_THREADS"] == expected


ENDS = """
import json, sys
from pathlib import Path
from transfer.errors import BadOption, FailedElsewhere
from transfer.launch.processes import is_first, on_first, process_group

def fail(error):
    raise error

with process_group():
    seen = [on_first(lambda: 5)]
    for error in (BadOption("not this"), OSError(28, "No space left", "model.pth")):
        try:
            on_first(lambda error=error: fail(error))
        except (FailedElsewhere, BadOption, OSError) as caught:
            seen.append(type(caught).__name__)
    first = is_first()
Path(sys.argv[1], f"{first}.json").write_text(json.dumps(seen))
"""


def test_an_error_of_the_first_reaches_all(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(textwrap.dedent(ENDS), encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [*torchrun, str(tmp_path / "ends.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.glob("*.json")}
    assert found == {"True": [5, "BadOption", "OSError"], "False": [5, "FailedElsewhere", "FailedElsewhere"]}


def test_bad_input_is_reported_once_and_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not a checkpoint")
    options = ["--work-dir", str(tmp_path), "--board", str(tmp_path / "board"), "--processes", "2"]
    assert cli.main(["eval", str(broken), "mini", *options]) == 1
    message = capsys.readouterr().err
    assert message.count("transfer: ") == 1 and "broken.pth" in message
    assert "ChildFailedError" not in message and "Traceback" not in message


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_killing_the_command_ends_every_process(checkpoint: Path, furnished: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-m", "transfer", "eval", str(checkpoint), "mini", *SMALL, "--tasks", "pose"]
    command += ["--iterations", "1000", "--work-dir", str(furnished), "--board", str(furnished / "board")]
    process = subprocess.Popen(
        [*command, "--processes", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert _until(lambda: bool(list(furnished.glob("*/losses.jsonl"))), 300)
        process.send_signal(ending)
        process.wait(timeout=60)
        assert _until(lambda: not _alive(str(furnished)), 60), _alive(str(furnished))
    finally:
        for number in _alive(str(furnished)):
            os.kill(number, signal.SIGKILL)
        process.wait(timeout=60)


def _until(happened: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.5)
    return False


def _alive(mark: str) -> list[int]:
    """Processes whose command line names `mark`; those that ended and wait for their parent have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [int(path.parent.name)] if mark.encode() in path.read_bytes() else []
    return found
