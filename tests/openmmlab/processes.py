"""Two processes of one step: real ones with gloo, and threads that stand for them."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds after which a collective that only one of two threads enters is an error."""


def in_two_processes(work: Callable[[int], Any], folder: Path) -> list[Any]:
    """Return `work(0)` and `work(1)`, run by forks of this process that form a group; results are tensors and plain."""
    context = multiprocessing.get_context("fork")  # the stack is imported already, which takes longest
    children = [context.Process(target=_join_group, args=(work, rank, folder), daemon=True) for rank in range(2)]
    for child in children:
        child.start()
    multiprocessing.connection.wait([child.sentinel for child in children], timeout=240)
    for child in children:
        child.join(PATIENCE)  # one may wait for another that failed
        child.kill()
        child.join()
    ends = [child.exitcode for child in children]
    assert ends == [0, 0], f"exit codes {ends}"
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _join_group(work: Callable[[int], Any], rank: int, folder: Path) -> None:
    torch.set_num_threads(1)  # the pool of threads was not forked
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(work(rank), folder / f"{rank}.pt")
    dist.destroy_process_group()


class _Group:
    """A process group of two threads, of which torch.distributed serves what losses ask for."""

    def __init__(self) -> None:
        self.here = threading.local()
        self.slots: list[Tensor] = [torch.empty(0)] * 2
        self.barrier = threading.Barrier(2, timeout=PATIENCE)

    def all_reduce(self, tensor: Tensor, op: Any = dist.ReduceOp.SUM) -> None:
        self.slots[self.here.rank] = tensor.clone()
        self.barrier.wait()
        total = self.slots[0] + self.slots[1]
        self.barrier.wait()
        tensor.copy_(total)

    def run(self, work: Callable[[int], T], rank: int) -> T:
        self.here.rank = rank
        try:
            return work(rank)
        except BaseException:
            self.barrier.abort()
            raise


def in_two_threads(work: Callable[[int], T], monkeypatch: pytest.MonkeyPatch) -> list[T]:
    """Return `work(0)` and `work(1)`, run at once as the ranks of a group; unequal numbers of collectives raise."""
    group = _Group()
    with monkeypatch.context() as patched:
        patched.setattr(dist, "is_initialized", lambda: True)
        patched.setattr(dist, "get_world_size", lambda: 2)
        patched.setattr(dist, "all_reduce", group.all_reduce)
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(group.run, (work, work), (0, 1)))
