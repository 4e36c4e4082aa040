"""Seconds per training step: our runner against a bare mmengine Runner, same model, same data, one run.

    python tools/bench/overhead.py [--suite mini] [--task detection] [--arch resnet18] [--steps 20] [--rounds 3]

Suites of real data read $TRANSFER_DATA. Both train with the same number of data workers.

Rounds alternate between the two, so that a busy machine slows both. Prints medians and their ratio; the aim is below
1.02.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from transfer.files.places import data_root, suite_path
from transfer.openmmlab.compose import for_processes
from transfer.openmmlab.runner import load_config, train
from transfer.schemas.suite import load_suite
from transfer.stages.convert import convert
from transfer.workflows.plan import Deviations, plan


class StepTimer(Hook):
    """Seconds between the ends of consecutive steps, data loading included."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.ends: list[float] = []

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Without the first steps, which warm up."""
        return [later - earlier for earlier, later in zip(self.ends[2:], self.ends[3:], strict=False)]


def train_ours(config: Config, folder: Path) -> list[float]:
    """Our `train`, with the timer as one more hook."""
    timer = StepTimer()
    train(config, folder, "ours", hooks=[timer])
    return timer.seconds()


def train_bare(config: Config, folder: Path) -> list[float]:
    """mmengine's Runner as its users run it: default hooks, its own samplers, the plain data set."""
    config = for_processes(config, 1)
    loader = config.train_dataloader
    loader.dataset = loader.dataset.dataset
    loader.sampler = ConfigDict(type="InfiniteSampler", shuffle=True)
    for part in ("rpn", "rcnn"):
        if part in config.model.get("train_cfg", {}):
            config.model.train_cfg[part].sampler.type = "RandomSampler"
    init_default_scope(config.default_scope)
    timer = StepTimer()
    runner = Runner(
        model=config.model,
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg=config.train_cfg,
        optim_wrapper=config.optim_wrapper,
        param_scheduler=config.param_scheduler,
        default_scope=config.default_scope,
        custom_hooks=[timer],
        log_level=logging.WARNING,
        experiment_name=f"bare-{folder.name}",
    )
    runner.train()
    return timer.seconds()


def composed(suite: str, task: str, arch: str, steps: int, work_dir: Path) -> Config:
    """The config that `transfer eval random:<arch>` would train."""
    deviations = Deviations((task,), (0,), {"iterations": steps})
    (job,) = plan(convert(f"random:{arch}", work_dir), load_suite(suite_path(suite)), deviations, work_dir, data_root())
    return load_config(job.config, job.vocabulary)


def main() -> None:
    """Alternate and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="mini")
    parser.add_argument("--task", default="detection")
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runners: dict[str, Callable[[Config, Path], list[float]]] = {"ours": train_ours, "bare": train_bare}
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    with tempfile.TemporaryDirectory() as folder:
        config = composed(options.suite, options.task, options.arch, options.steps, Path(folder))
        for round_number in range(options.rounds):
            for name, run in runners.items():
                run_folder = Path(folder) / f"{name}-{round_number}"
                run_folder.mkdir()
                seconds[name] += run(config, run_folder)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: median {median:.3f} s per step over {len(seconds[name])} steps")
    print(f"ratio ours / bare: {medians['ours'] / medians['bare']:.3f}")


if __name__ == "__main__":
    main()
