"""Supervised classification for a fixed number of steps, stoppable and resumable after any of them."""

from __future__ import annotations

import copy
import difflib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from transfer.errors import UnknownName
from transfer.pretrain.batches import Batches

LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
WARMUP = 0.05
"""Share of the steps over which the learning rate rises."""

SMOOTHING = 0.95
"""Weight of the past in the running loss and accuracy that are shown and recorded."""

TIMED_STEPS = 4

Json = dict[str, Any]


@dataclass
class Training:
    """A network with everything its next step depends on; `loss` and `accuracy` are running means."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LambdaLR
    steps: int
    step: int = 0
    loss: float = math.nan
    accuracy: float = math.nan

    def state(self) -> Json:
        """Return tensors on the CPU and Python values only, so that any machine can load it without running code."""
        return {
            "state_dict": portable(dict(self.model.state_dict())),
            "optimizer": portable(self.optimizer.state_dict()),
            "scheduler": self.scheduler.state_dict(),
            **{"steps": self.steps, "step": self.step, "loss": self.loss, "accuracy": self.accuracy},
        }

    def restore(self, state: Json) -> None:
        """Continue where `state` was taken."""
        self.model.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.step, self.loss, self.accuracy = state["step"], state["loss"], state["accuracy"]


def start_training(arch: str, classes: int, image_size: int, seed: int, steps: int) -> Training:
    """Build a fresh network, on the GPU if there is one, AdamW, and a cosine schedule over `steps`.

    Raises UnknownName for an architecture that timm does not have.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = _build(arch, classes, image_size, seed).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_groups(model), lr=LEARNING_RATE)
    return Training(model, optimizer, LambdaLR(optimizer, lambda step: rate(step, steps)), steps)


def rate(step: int, steps: int) -> float:
    """Return the share of the peak learning rate at `step`: linear warm-up, then half a cosine to zero."""
    warmup = max(1.0, WARMUP * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))


def train(training: Training, batches: Batches, after_step: Callable[[], bool]) -> None:
    """Train to the last step, or until `after_step` returns False."""
    bar = tqdm(total=training.steps, initial=training.step, desc="pre-training", unit="step", mininterval=0.5)
    with bar:
        for images, labels in batches.between(training.step, training.steps):
            _advance(training, images, labels)
            bar.set_postfix(loss=f"{training.loss:.3f}", accuracy=f"{training.accuracy:.3f}", refresh=False)
            bar.update()
            if not after_step():
                return


def seconds_per_step(training: Training, batches: Batches) -> float:
    """Measure the mean seconds of a step including its images, on a copy so that nothing is trained by it."""
    model = copy.deepcopy(training.model)
    optimizer = torch.optim.AdamW(model.parameters())
    trial = Training(model, optimizer, LambdaLR(optimizer, lambda step: 0.0), TIMED_STEPS + 1)
    times = []
    for images, labels in batches.between(0, TIMED_STEPS + 1):
        _advance(trial, images, labels)
        times.append(time.monotonic())
    return (times[-1] - times[0]) / TIMED_STEPS  # the first step, which warms up, only starts the clock


def _advance(training: Training, images: Tensor, labels: Tensor) -> None:
    device = next(training.model.parameters()).device
    images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
    training.model.train()
    scores = training.model(images)
    loss = nn.functional.cross_entropy(scores, labels)
    training.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    training.optimizer.step()
    training.scheduler.step()
    training.step += 1
    training.loss = _running(training.loss, loss.item())
    training.accuracy = _running(training.accuracy, (scores.argmax(1) == labels).float().mean().item())


def portable(value: Any) -> Any:
    """Return `value` with every tensor in it contiguous and on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous()
    if isinstance(value, dict):
        return {key: portable(item) for key, item in value.items()}
    return [portable(item) for item in value] if isinstance(value, list) else value


def _running(mean: float, value: float) -> float:
    return value if math.isnan(mean) else SMOOTHING * mean + (1 - SMOOTHING) * value


def _build(arch: str, classes: int, image_size: int, seed: int) -> nn.Module:
    if not timm.is_model(arch):
        known = timm.list_models()
        raise UnknownName.among("architecture", arch, difflib.get_close_matches(arch, known, 8, 0.3) or known[:8])
    config = timm.get_pretrained_cfg(arch)
    size = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = timm.create_model(arch, num_classes=classes, **size)
    return model


def _groups(model: nn.Module) -> list[Json]:
    """Group parameters: weight decay for matrices and kernels only; norms and biases stay free."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
