"""Seconds and memory for a checkpoint file of 1.2 GB: ours against torch.load and safetensors, one run.

    python tools/bench/files.py [--arch vit_large_patch16_224] [--rounds 5] [--only converting]

Lists the names and shapes in a file, and converts it. Every measurement is a process of its own; rounds alternate
between the ways, so that a busy machine slows all. Prints medians, the growth of anonymous memory at its peak and of
mapped pages, and ratios; the aims for listing are 20 times torch.load and 30 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from transfer.checkpoints.identification.identify import plan_for
from transfer.checkpoints.keys.contents import contents_of
from transfer.checkpoints.loading import convert_checkpoint
from transfer.checkpoints.reading.checkpoint import read_checkpoint

INTERVAL = 0.002
Measured = dict[str, float]


def list_ours(path: Path) -> int:
    """Every name and shape, through our reader."""
    state_dicts = contents_of(read_checkpoint(path)).state_dicts.values()
    return len([tensor.shape for state_dict in state_dicts for tensor in state_dict.tensors.values()])


def identify_ours(path: Path) -> int:
    """Names, shapes, and the family with its plan."""
    _, plan = plan_for(contents_of(read_checkpoint(path)), None, None)
    return len(plan.state_dict.tensors)


def list_torch(path: Path) -> int:
    """`torch.load`, as most scripts do."""
    return len([tensor.shape for tensor in torch.load(path).values()])


def list_torch_mapped(path: Path) -> int:
    """`torch.load(mmap=True)`."""
    return len([tensor.shape for tensor in torch.load(path, mmap=True).values()])


def list_safe_open(path: Path) -> int:
    """safetensors' own reader."""
    with safe_open(path, "pt") as file:
        return len([file.get_slice(name).get_shape() for name in file.keys()])  # noqa: SIM118


def convert_ours(path: Path) -> int:
    """Renamed, checked, hashed and written with a certificate."""
    output = path.with_name("ours.safetensors")
    convert_checkpoint(path, output)
    return output.stat().st_size


def convert_torch(path: Path, mapped: bool = False) -> int:
    """Load, rename, save."""
    output = path.with_name("renamed.safetensors")
    save_file({f"backbone.{name}": tensor for name, tensor in torch.load(path, mmap=mapped).items()}, output)
    return output.stat().st_size


def convert_torch_mapped(path: Path) -> int:
    """Map, rename, save."""
    return convert_torch(path, mapped=True)


TASKS: dict[str, Callable[[Path], int]] = {
    task.__name__: task
    for task in (
        list_ours, identify_ours, list_torch, list_torch_mapped, list_safe_open, convert_ours, convert_torch,
        convert_torch_mapped,
    )
}  # fmt: skip

LISTING = (
    ("list_torch", "zip.pth"),
    ("list_torch_mapped", "zip.pth"),
    ("list_ours", "zip.pth"),
    ("identify_ours", "zip.pth"),
    ("list_ours", "legacy.pth"),
    ("list_safe_open", "model.safetensors"),
    ("list_ours", "model.safetensors"),
    ("identify_ours", "model.safetensors"),
)
CONVERTING = (
    ("convert_torch", "zip.pth"),
    ("convert_torch_mapped", "zip.pth"),
    ("convert_ours", "zip.pth"),
    ("convert_ours", "model.safetensors"),
)
TABLES = {"listing": LISTING, "converting": CONVERTING}


def measure(task: str, path: Path) -> Measured:
    """Seconds, and MB of growth: anonymous memory at its peak, mapped pages at the end."""
    torch.zeros(1)
    before, samples, done = _resident(), [], threading.Event()
    sampler = threading.Thread(target=_sample, args=(samples, done))
    sampler.start()
    start = time.perf_counter()
    TASKS[task](path)
    seconds = time.perf_counter() - start
    done.set()
    sampler.join()
    samples.append(_resident())
    peak = max(sample["RssAnon"] for sample in samples)
    return {
        "seconds": seconds, "anonymous": peak - before["RssAnon"], "mapped": samples[-1]["RssFile"] - before["RssFile"],
    }  # fmt: skip


def _sample(samples: list[Measured], done: threading.Event) -> None:
    while not done.wait(INTERVAL):
        samples.append(_resident())


def _resident() -> Measured:
    """Resident MB by kind."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith("Rss")}


def write_files(folder: Path, arch: str) -> None:
    """The same weights in three containers."""
    state = timm.create_model(arch, num_classes=0).state_dict()
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "model.safetensors")
    size = (folder / "zip.pth").stat().st_size / 1e9
    print(f"{arch}: {len(state)} tensors, {size:.2f} GB")


def alternate(ways: Sequence[tuple[str, str]], folder: Path, rounds: int) -> dict[tuple[str, str], list[Measured]]:
    """Every way once per round, each in a process of its own."""
    results: dict[tuple[str, str], list[Measured]] = {way: [] for way in ways}
    for _ in range(rounds):
        for task, name in ways:
            os.sync()  # nobody waits for what another left to be written to the disk
            command = [sys.executable, __file__, "--measure", task, str(folder / name)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[task, name].append(json.loads(done.stdout))
    return results


def report(results: Mapping[tuple[str, str], Sequence[Measured]]) -> None:
    """Medians; the first way is the one that the others are compared with."""
    medians = {
        way: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for way, runs in results.items()
    }
    reference = next(iter(medians.values()))["seconds"]
    print(f"\n{'':22} {'file':18} {'seconds':>8} {'ratio':>7} {'anonymous':>10} {'mapped':>8}")
    for (task, name), median in medians.items():
        print(
            f"{task:22} {name:18} {median['seconds']:8.3f} {reference / median['seconds']:6.1f}x "
            f"{median['anonymous']:7.1f} MB {median['mapped']:5.1f} MB"
        )


def main() -> None:
    """Alternate and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="vit_large_patch16_224")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("listing", "converting"), help="one of the two tables")
    parser.add_argument("--measure", nargs=2, metavar=("TASK", "FILE"), help="one measurement, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], Path(options.measure[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name), options.arch)
        for table, ways in TABLES.items():
            if options.only in (None, table):
                report(alternate(ways, Path(name), options.rounds))


if __name__ == "__main__":
    main()
