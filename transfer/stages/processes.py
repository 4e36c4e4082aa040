"""One process or several: the group, and work that only the first process does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist

from transfer.errors import BadOption, TransferError

T = TypeVar("T")


class FailedElsewhere(TransferError):
    """The first process met an error and has reported it."""


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; a single process needs no group."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def on_first(work: Callable[[], T]) -> T:
    """Do `work` in the first process and hand its result to all; its error ends all of them."""
    if not dist.is_initialized():
        return work()
    outcome: list[tuple[T | None, TransferError | None]] = [(None, None)]
    if is_first():
        try:
            outcome[0] = (work(), None)
        except TransferError as error:
            outcome[0] = (None, error)
    dist.broadcast_object_list(outcome, src=0, device=torch.device("cpu"))
    result, failure = outcome[0]
    if failure is not None:
        raise failure if is_first() else FailedElsewhere(str(failure))
    return result  # type: ignore[return-value]


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `transfer ARGUMENTS` in `processes` processes of this machine through torchrun; returns the exit status."""
    if processes < 1:
        raise BadOption(f"--processes must be at least 1, not {processes}.")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run([*torchrun, "-m", "transfer", *arguments], check=False).returncode


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def processes_wanted(asked: int | None) -> int:
    """`asked`, or one process for every visible GPU, or one."""
    return asked if asked is not None else max(1, torch.cuda.device_count())
