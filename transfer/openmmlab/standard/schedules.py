"""How long, with which optimizer and at which rates a head is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Config = dict[str, Any]


def schedule(steps: int, optimizer: Mapping[str, Any], rates: Sequence[Config]) -> Config:
    """Return a config's training part: `steps` of an optimizer of this module, under `rates` of this module."""
    return {
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": steps},
        "optim_wrapper": {"type": "OptimWrapper", **optimizer},
        "param_scheduler": list(rates),
    }


def sgd(rate: float, decay: float) -> Config:
    """Return SGD with momentum 0.9 and this weight decay."""
    return {"optimizer": {"type": "SGD", "lr": rate, "momentum": 0.9, "weight_decay": decay}}


def adam(rate: float) -> Config:
    """Return Adam without weight decay."""
    return {"optimizer": {"type": "Adam", "lr": rate}}


def adamw(rate: float, decay: float, **options: Any) -> Config:
    """Return AdamW with this weight decay."""
    return {"optimizer": {"type": "AdamW", "lr": rate, **options, "weight_decay": decay}}


def layer_decay(rate: float, decay: float, share: float) -> Config:
    """Return AdamW whose rates shrink by `share` from block to block towards the input (1: they do not).

    Norms, biases and positions have no weight decay.
    """
    adaptive = adamw(rate, decay, betas=(0.9, 0.999))
    return {"constructor": "LayerDecay", "paramwise_cfg": {"layer_decay": share}, **adaptive}


def drops(steps: int, milestones: Sequence[float], warmup: int, start: float = 0.001) -> list[Config]:
    """Return rates that grow for `warmup` steps from `start` and are divided by 10 at these shares of the steps."""
    ends = [round(share * steps) for share in milestones]
    return [
        _warmup(warmup, start),
        {"type": "MultiStepLR", "by_epoch": False, "begin": 0, "end": steps, "milestones": ends, "gamma": 0.1},
    ]


def polynomial(steps: int, power: float, least: float, warmup: int = 0, start: float = 1e-6) -> list[Config]:
    """Return rates that fall to `least` as (1 - step / steps) ** power does, after `warmup` steps from `start`."""
    decay = {"type": "PolyLR", "eta_min": least, "power": power, "by_epoch": False, "begin": warmup, "end": steps}
    return [*([_warmup(warmup, start)] if warmup else []), decay]


def _warmup(steps: int, start: float) -> Config:
    return {"type": "LinearLR", "start_factor": start, "by_epoch": False, "begin": 0, "end": steps}
