"""Run in one process or several: how many, starting them, the group, and work that only the first process does."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist

from transfer.errors import BadOption, FailedElsewhere, TransferError

T = TypeVar("T")

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PATIENCE = timedelta(hours=4)
"""The others wait while the first process checks data and scores, which takes longer than torch's 10 or 30 minutes."""


def most_processes(asked: int | None) -> int:
    """Return `asked`, or one for every visible GPU, or one. Raises BadOption for what this machine cannot serve."""
    gpus = torch.cuda.device_count()
    if asked is None:
        return max(1, gpus)
    if asked < 1:
        raise BadOption(f"--processes must be at least 1, not {asked}.")
    if asked > gpus > 0:
        raise BadOption(
            f"{asked} processes need {asked} GPUs and {gpus} are visible. Ask for at most {gpus}, or hide the GPUs "
            "with CUDA_VISIBLE_DEVICES= to run on the CPU."
        )
    return asked


def dividing(most: int, images_per_step: Iterable[int]) -> int:
    """Return the largest number of processes up to `most` that gives each the same share of every job's step."""
    steps = list(images_per_step)
    return next(number for number in range(most, 0, -1) if all(images % number == 0 for images in steps))


def launched() -> bool:
    """Tell whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(processes: int, arguments: Sequence[str]) -> NoReturn:
    """Become torchrun with `processes` processes of `transfer ARGUMENTS`, so that who stops us stops them."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    share = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [*torchrun, "-m", "transfer", *arguments], share | os.environ)


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; one started otherwise, or in a group already, needs none."""
    if not launched() or dist.is_initialized():
        yield
        return
    _end_with_torchrun()
    backend = "gloo"
    if torch.cuda.is_available():
        most_processes(int(os.environ["LOCAL_WORLD_SIZE"]))
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cuda:nccl,cpu:gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _end_with_torchrun() -> None:
    """Have Linux end this process with its parent: a torchrun that is killed outright cannot do so itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def is_first() -> bool:
    """Tell whether this process is the one that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def on_first(work: Callable[[], T]) -> T:
    """Do `work` in the first process and hand its result to all; an error that a user can meet ends all of them."""
    if not dist.is_initialized():
        return work()
    outcome: list[tuple[T | None, TransferError | OSError | None]] = [(None, None)]
    if is_first():
        try:
            outcome[0] = (work(), None)
        except (TransferError, OSError) as error:
            outcome[0] = (None, error)
    dist.broadcast_object_list(outcome, src=0, device=torch.device("cpu"))
    result, failure = outcome[0]
    if failure is not None:
        raise failure if is_first() else FailedElsewhere(str(failure))
    return result  # type: ignore[return-value]
