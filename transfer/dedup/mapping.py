"""Apply a function to many pieces of work: here, in several processes, or on a Ray cluster. Results keep the order."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from threading import Thread
from typing import Any, TypeVar

import cv2
import faiss

from transfer.errors import BadOption, StageFailed, TransferError

A = TypeVar("A")
B = TypeVar("B")

AHEAD = 4
"""Pieces that wait for each worker: enough to keep it busy, few enough to hold."""


def map_here(work: Callable[[A], B], pieces: Iterable[A]) -> Iterator[B]:
    """Work in this process, one piece after the other."""
    return map(work, pieces)


def map_in_threads(work: Callable[[A], B], pieces: Iterable[A]) -> Iterator[B]:
    """Work in threads of this process: for a little work, most of which OpenCV does without Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(work, pieces)


def map_in_processes(work: Callable[[A], B], pieces: Iterable[A], processes: int) -> Iterator[B]:
    """Work in `processes` fresh processes, each with one thread. Raises StageFailed when one of them dies."""
    if processes < 2:
        yield from map_here(work, pieces)
        return
    context = multiprocessing.get_context("spawn")
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers, which start with the first piece: numpy's matrix products
    pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(work,))
    try:
        waiting: deque[Future[B]] = deque()
        for piece in pieces:
            waiting.append(pool.submit(_do, piece))
            if len(waiting) > AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise StageFailed(
            "a worker process died (killed, or out of memory). Finished work is not lost: run the same command again."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        _restore("OMP_NUM_THREADS", threads)


def _restore(name: str, value: str | None) -> None:
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value


def map_on_ray(work: Callable[[A], B], pieces: Iterable[A], address: str) -> Iterator[B]:
    """Work on the Ray cluster at `address` (`local` starts one here): a map of Ray Data, nothing is shuffled.

    `work`, and what it holds, is broadcast once; a piece whose worker dies is done again. Raises BadOption without Ray.
    """
    try:
        import ray
    except ImportError as error:
        raise BadOption("--ray needs Ray Data. Install transfer-bench[ray].") from error
    if not ray.is_initialized():
        ray.init(address=None if address == "local" else address, include_dashboard=False, log_to_driver=False)
    shared = ray.put(work)

    def apply(row: dict[str, Any]) -> dict[str, Any]:
        return {"number": row["number"], "answer": _answer(_fetched(shared), row["piece"])}

    rows = [{"number": number, "piece": pickle.dumps(piece)} for number, piece in enumerate(pieces)]
    done = ray.data.from_items(rows, override_num_blocks=max(1, len(rows))).map(apply)
    found = {row["number"]: _result(row["answer"]) for row in done.iter_rows()}
    return (found[number] for number in range(len(rows)))


@lru_cache(maxsize=1)
def _fetched(shared: Any) -> Any:
    """Fetch a worker's work, with what it builds for itself, once."""
    import ray

    return ray.get(shared)


def _answer(work: Callable[[Any], Any], piece: bytes) -> bytes:
    """Do the work on a pickled piece and pickle the result or the error.

    Ray would keep neither tuples nor dictionaries, and wrap an error that people should read.
    """
    try:
        return pickle.dumps(work(pickle.loads(piece)))
    except TransferError as error:
        return pickle.dumps(error)


def _result(answer: bytes) -> Any:
    result = pickle.loads(answer)
    if isinstance(result, TransferError):
        raise result
    return result


_given: Callable[[Any], Any]
"""A worker process's work, handed over once when it starts."""


def _begin(work: Callable[[Any], Any]) -> None:
    """Start a worker: one thread a process, the interrupt key for the first process only, and no life after it."""
    global _given
    _given = work
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    faiss.omp_set_num_threads(1)


def _end_with_parent() -> None:
    """Wait until the first process is gone, and leave: killed, it tells its workers nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)  # whatever the worker is at: nobody is left to take the result


def _do(piece: Any) -> Any:
    return _given(piece)
