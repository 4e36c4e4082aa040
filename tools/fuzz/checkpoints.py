"""Reads damaged and poisoned checkpoints: none may crash the reader, hang it, exhaust memory or run anything.

    python tools/fuzz/checkpoints.py [--files 100000] [--processes 2] [--seed 0] [--only NUMBER]

Every file is made from a small checkpoint by random changes that its number determines; `--only` writes one to the
current folder and reads it. Each process has a limit of memory; a file has ten seconds. Python's audit events tell of
imports, compilations, files that are written and calls of the system. Ends with 1 if anything was found.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mutation import mutated
from seeds import seeds
from torch import Tensor

from transfer.checkpoints.identification.filling import UNSAID, fill_from
from transfer.checkpoints.keys.contents import contents_of
from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.errors import CheckpointError

SECONDS = 10
MEMORY = 2**30
"""Bytes that reading may take on top of what the libraries did."""

SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Memory instead of a disk, if there is such a place."""

BAD = ("crash", "hang", "memory", "executed", "died")
WATCHED = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "exec", "compile", "import", "pickle.")
LOOKING = ("os.listdir", "os.scandir")
"""Folders are listed to find what belongs together."""

PLACES = {"distributed plan": ".metadata", "distributed part": "__0_0.distcp", "index": "model.safetensors.index.json"}
"""Files that belong into a folder with others, by their seed; the folder is read."""


class Canary:
    """Notes what Python reports while it is `watching`."""

    def __init__(self) -> None:
        self.watching = False
        self.events: list[str] = []
        sys.addaudithook(self.note)

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        """An audit event."""
        harmful = event.startswith(WATCHED) and event not in LOOKING
        if self.watching and (harmful or (event == "open" and _writes(args))):
            self.events.append(f"{event} {args!r:.200}\n{''.join(traceback.format_stack()[-8:-1])}")


def _writes(args: tuple[Any, ...]) -> bool:
    return len(args) == 3 and isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


class TooLongError(BaseException):
    """The time of a file is over; no `except Exception` of the reader may catch it."""


def _ring(*_: Any) -> None:
    raise TooLongError


class Reader:
    """Reads files in a scratch folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._canary = folder, Canary()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.seeds = seeds(folder / "distributed")
        for name, data in self.seeds.items():  # loads the libraries' last modules
            self.outcome(name, data)
        signal.signal(signal.SIGALRM, _ring)

    def outcome(self, name: str, data: bytes) -> tuple[str, str]:
        """What became of a file made from the seed `name`, and the details."""
        path = self._write(name, data)
        self._canary.events.clear()
        error = self._read(path)
        if self._canary.events:
            return "executed", "; ".join(self._canary.events)
        if error is None or isinstance(error, CheckpointError):
            return (type(error).__name__, str(error)[:300]) if error else ("read", "")
        kinds = {TooLongError: "hang", MemoryError: "memory"}
        return kinds.get(type(error), "crash"), "".join(traceback.format_exception(error))[-2000:]

    def _read(self, path: Path) -> BaseException | None:
        """What came out of reading while the canary watched."""
        self._canary.watching = True
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            contents = contents_of(read_checkpoint(path))
            _use(contents.state_dicts)
            fill_from(contents, UNSAID)
        except BaseException as error:
            return error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._canary.watching = False
        return None

    def _write(self, name: str, data: bytes) -> Path:
        if name not in PLACES:
            path = self._folder / "fuzzed.pth"
            path.write_bytes(data)
            return path
        folder = self._folder / name.split()[0]
        folder.mkdir(exist_ok=True)
        if name.startswith("distributed"):
            for other in ("distributed plan", "distributed part"):
                (folder / PLACES[other]).write_bytes(self.seeds[other])
        else:
            (folder / "shard.safetensors").write_bytes(self.seeds["safetensors"])
        (folder / PLACES[name]).write_bytes(data)
        return folder


def _use(state_dicts: Mapping[str, Any]) -> None:
    """Touch the numbers of small tensors."""
    for state_dict in state_dicts.values():
        for tensor in state_dict.tensors.values():
            if isinstance(tensor, Tensor) and tensor.numel() < 2**20:
                tensor.detach().reshape(-1)[-1:].tolist()


def fuzzed(made: Mapping[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """The seed's name and the file of this number."""
    chance = random.Random(f"{seed} {number}")
    name = chance.choice(sorted(made))
    return name, mutated(chance, made[name], tuple(made.values()))


def work(numbers: range, seed: int, results: Connection) -> None:
    """Send the number before each file and its outcome afterwards."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        reader = Reader(Path(folder))
        limit = _address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number in numbers:
            results.send((number, "", ""))
            results.send((number, *reader.outcome(*fuzzed(reader.seeds, seed, number))))


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def outcomes(numbers: range, seed: int) -> Iterator[tuple[int, str, str]]:
    """Number, outcome and details of each file; a process that dies is replaced by one for the rest."""
    while numbers:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=work, args=(numbers, seed, sender))
        process.start()
        sender.close()
        last = yield from _received(receiver, numbers)
        process.join()
        if process.exitcode == 0:
            return
        yield last, "died", f"exit code {process.exitcode}"
        numbers = numbers[numbers.index(last) + 1 :]


def _received(receiver: Connection, numbers: range) -> Generator[tuple[int, str, str], None, int]:
    """Results until the process ends; returns the last number it began."""
    last = numbers[0]
    while True:
        try:
            last, outcome, details = receiver.recv()
        except EOFError:
            return last
        if outcome:
            yield last, outcome, details


def run(files: int, processes: int, seed: int) -> Counter[str]:
    """Count the outcomes of all files; print what was found."""
    shares = [range(first, files, processes) for first in range(min(processes, files))]
    with ThreadPoolExecutor(len(shares)) as pool:
        return sum(pool.map(partial(_count, seed=seed), shares), Counter())


def _count(numbers: range, seed: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for number, outcome, details in outcomes(numbers, seed):
        counts[outcome] += 1
        if outcome in BAD:
            print(f"{outcome} at {number} (--seed {seed} --only {number}):\n{details}", flush=True)
    return counts


def main() -> int:
    """Fuzz, or read one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    if options.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            reader = Reader(Path(folder))
            name, data = fuzzed(reader.seeds, options.seed, options.only)
            Path(f"fuzzed-{options.only}").write_bytes(data)
            print(f"fuzzed-{options.only}, from the seed {name}:", *reader.outcome(name, data))
        return 0
    start = time.perf_counter()
    counts = run(options.files, options.processes, options.seed)
    seconds = time.perf_counter() - start
    print(f"{counts.total():,} files in {seconds:.0f} s: {json.dumps(dict(counts.most_common()))}")
    return int(any(counts[outcome] for outcome in BAD) or counts.total() != options.files)


if __name__ == "__main__":
    sys.exit(main())
