from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dedup.conftest import fill
from transfer.dedup.mapping import AHEAD, map_here, map_in_processes, map_in_threads, map_on_ray
from transfer.dedup.shards import hash_piece
from transfer.dedup.sources.inputs import find_pieces
from transfer.dedup.sources.pieces import Piece
from transfer.errors import StageFailed, UnusableIndex

ON_RAY = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")

Mapping = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


@dataclass(frozen=True)
class Given:
    """A piece of work of a type of its own."""

    number: int
    names: tuple[str, ...]


PIECES: list[Any] = [3, "a", ("b", 2), (), ({"file": "c", "n": 1}, {"file": "d"}), Given(4, ("e",)), None, {"f": 1.5}]


def echo(piece: Any) -> Any:
    """The piece, a part of it in its own type, and of what type it came."""
    time.sleep(0.02 * (piece == 3))  # the first is the last to be ready
    return {"piece": piece, "first": piece[:1] if isinstance(piece, tuple) else piece, "type": type(piece).__name__}


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """Two CPUs of this machine as a cluster."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


HERE: tuple[Mapping, ...] = (map_here, map_in_threads, partial(map_in_processes, processes=1))
ELSEWHERE: tuple[Any, ...] = (
    pytest.param(partial(map_in_processes, processes=2), id="processes"),
    pytest.param(partial(map_on_ray, address="local"), id="ray", marks=[pytest.mark.slow, ON_RAY]),
)


@pytest.fixture
def mapping(request: pytest.FixtureRequest) -> Mapping:
    if "ray" in request.node.callspec.id:
        request.getfixturevalue("ray_here")
    found: Mapping = request.param
    return found


@pytest.mark.parametrize("mapping", [*HERE, *ELSEWHERE], indirect=True)
def test_results_are_those_of_a_loop_and_in_order(mapping: Mapping) -> None:
    assert list(mapping(echo, PIECES)) == [echo(piece) for piece in PIECES]


@pytest.mark.parametrize("mapping", [*HERE, *ELSEWHERE], indirect=True)
def test_no_pieces_no_results(mapping: Mapping) -> None:
    assert list(mapping(echo, [])) == []


@pytest.mark.parametrize("mapping", [*HERE, *ELSEWHERE], indirect=True)
def test_shards_are_the_same_wherever_they_are_made(mapping: Mapping, tmp_path: Path) -> None:
    pieces = find_pieces([fill(tmp_path / name, range(at, at + 2)) for at, name in enumerate("abc")])
    for found, expected in zip(mapping(hash_piece, pieces), map(hash_piece, pieces), strict=True):
        assert (found.source, found.names) == (expected.source, expected.names)
        np.testing.assert_array_equal(found.sha256, expected.sha256)
        np.testing.assert_array_equal(found.hashed.hashes, expected.hashed.hashes)


def refuse(piece: Any) -> None:
    raise UnusableIndex(f"{piece} is damaged")


@pytest.mark.parametrize("mapping", [*HERE, *ELSEWHERE], indirect=True)
def test_errors_of_the_work_come_out_as_they_are(mapping: Mapping) -> None:
    with pytest.raises(UnusableIndex, match="the shard is damaged"):
        list(mapping(refuse, ["the shard"]))


def die_once(marker: Path, piece: Any) -> Any:
    """The process that takes the third piece first is killed, as an operator or the kernel would."""
    if piece == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * piece


def test_a_killed_worker_process_is_an_error_that_says_to_go_on(tmp_path: Path) -> None:
    work = partial(die_once, tmp_path / "died")
    with pytest.raises(StageFailed, match=r"a worker process died .*run the same command again"):
        list(map_in_processes(work, range(8), 2))
    assert list(map_here(work, range(8))) == [2 * piece for piece in range(8)]


@pytest.mark.slow
@ON_RAY
def test_what_a_killed_ray_worker_had_is_done_again(ray_here: None, tmp_path: Path) -> None:
    work = partial(die_once, tmp_path / "died")
    assert list(map_on_ray(work, range(8), "local")) == [2 * piece for piece in range(8)]
    assert (tmp_path / "died").exists()


def test_pieces_are_taken_a_few_ahead_of_their_results() -> None:
    taken = 0

    def pieces() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    done = map_in_processes(abs, pieces(), 2)
    assert next(done) == 1
    assert taken <= 2 * AHEAD + 1
    done.close()  # type: ignore[attr-defined]


def process_and_signal(piece: Piece) -> tuple[int, bool]:
    return os.getpid(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_workers_leave_the_interrupt_key_to_the_first_process() -> None:
    found = set(map_in_processes(process_and_signal, range(8), 2))
    assert os.getpid() not in {process for process, _ in found}
    assert {ignored for _, ignored in found} == {True}


def stay(folder: Path, piece: int) -> None:
    """Say which process is at work, and go on for longer than any test."""
    (folder / str(os.getpid())).touch()
    time.sleep(3600)


def alive(process: int) -> bool:
    """Tell whether it runs; what has ended and is not yet collected does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Tell whether it became true in time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux which processes run")
def test_workers_end_when_the_first_process_is_killed(tmp_path: Path) -> None:
    program = f"""
from functools import partial
from pathlib import Path
from tests.dedup.test_mapping import stay
from transfer.dedup.mapping import map_in_processes
list(map_in_processes(partial(stay, Path({str(tmp_path)!r})), range(2), 2))
"""
    first = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    workers: list[int] = []
    try:
        assert wait_until(lambda: len(list(tmp_path.iterdir())) == 2, 120)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        assert all(map(alive, workers))
        first.kill()
        first.wait()
        assert wait_until(lambda: not any(map(alive, workers)), 10)
    finally:
        first.kill()
        first.wait()
        for worker in filter(alive, workers):
            os.kill(worker, signal.SIGKILL)
