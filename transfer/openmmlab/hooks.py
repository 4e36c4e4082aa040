"""What happens around the training loop: resumable state, per-step seeds, a progress bar."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from tqdm import tqdm

from transfer.errors import StageFailed
from transfer.files.atomic import replacing


class TrainState(Hook):
    """Save everything that training needs to go on, atomically, every `seconds`; restore it strictly.

    Each step seeds torch from (seed, step, rank), so a resumed run draws what an uninterrupted one would have drawn.
    mmengine's own resume loads weights with `strict=False` and writes its files in place, so it is not used.
    """

    priority = "VERY_LOW"  # a step ends when the learning rate has moved on

    def __init__(self, path: Path, seconds: float = 120.0) -> None:
        self.path = path
        self.seconds = seconds
        self._started_at = self._saved_at = 0.0

    def before_train(self, runner: Any) -> None:
        """Go on from the file if there is one."""
        self._started_at = self._saved_at = time.monotonic()
        if not self.path.exists():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        unwrap(runner.model).load_state_dict(state["model"], strict=True)
        runner.optim_wrapper.load_state_dict(state["optimizer"])
        for scheduler, saved in zip(runner.param_schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        runner.train_loop._iter = state["step"]
        self._started_at -= state["seconds"]

    def seconds_spent(self) -> float:
        """Seconds of training, over all attempts."""
        return time.monotonic() - self._started_at

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the networks draw (dropout, stochastic depth)."""
        rank, processes = get_dist_info()
        torch.manual_seed((runner.seed * 1_000_003 + batch_idx) * processes + rank)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save when it is time."""
        if is_main_process() and time.monotonic() - self._saved_at > self.seconds:
            self.save(runner, batch_idx + 1)

    def save(self, runner: Any, step: int) -> None:
        """Write the state after `step` steps."""
        state = {
            "model": unwrap(runner.model).state_dict(),
            "optimizer": runner.optim_wrapper.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
            "step": step,
            "seconds": self.seconds_spent(),
        }
        with replacing(self.path) as temporary:
            torch.save(state, temporary)
        self._saved_at = time.monotonic()


class LossLog(Hook):
    """A progress bar on rank 0, the loss curve as JSON lines, and an error when the loss is not finite."""

    priority = "VERY_LOW"  # after TrainState, which says where training resumes

    def __init__(self, title: str, path: Path, interval: int = 10) -> None:
        self.title = title
        self.path = path
        self.interval = interval

    def before_train(self, runner: Any) -> None:
        """Open the bar where training resumes, and forget the curve beyond that step."""
        self._bar = tqdm(
            total=runner.max_iters,
            initial=runner.iter,
            desc=self.title,
            unit="step",
            disable=not is_main_process(),
            mininterval=1.0,
        )
        if is_main_process():
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= runner.iter]
            self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Log the mean loss over processes, every `interval` steps and at the end, because reading it waits."""
        self._bar.update()
        step = batch_idx + 1
        if step % self.interval and step != runner.max_iters:
            return
        mean = outputs["loss"].detach().clone()
        all_reduce(mean, "mean")
        loss = mean.item()
        if not math.isfinite(loss):
            raise StageFailed(
                f"the loss became {loss} at step {step} of {self.title}: training diverged and is not scored. "
                "Look at the checkpoint with `transfer inspect`; a wrong input contract or a damaged file does this."
            )
        self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        if is_main_process():
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "loss": round(loss, 6)}) + "\n")

    def after_train(self, runner: Any) -> None:
        """Close the bar."""
        self._bar.close()


class Snapshots(Hook):
    """Keep the model as it is after some steps, 0 for before the first: `folder/<step>/model.pth`."""

    priority = "VERY_LOW"

    def __init__(self, folder: Path, steps: Iterable[int]) -> None:
        self.folder = folder
        self.steps = frozenset(steps)

    def before_train(self, runner: Any) -> None:
        """The untrained model, unless training resumes."""
        self._keep(runner, runner.iter)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """The model after this step."""
        self._keep(runner, batch_idx + 1)

    def _keep(self, runner: Any, step: int) -> None:
        path = self.folder / str(step) / "model.pth"
        if step in self.steps and is_main_process() and not path.exists():
            save_model(runner, path, step)


def save_model(runner: Any, path: Path, step: int) -> None:
    """Write the model's weights after `step` steps, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save({"state_dict": unwrap(runner.model).state_dict(), "iterations": step}, temporary)


def unwrap(model: Any) -> Any:
    """The model inside a DistributedDataParallel wrapper."""
    return model.module if is_model_wrapper(model) else model
