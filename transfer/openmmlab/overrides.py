"""A user's deviations from how a head is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from transfer.errors import BadOption, UnknownName
from transfer.openmmlab.norms import POLICIES
from transfer.openmmlab.tasks import task_type

BACKBONES: Mapping[str, int | str] = {"full": -1, "before-conv5": "all_but_last", "frozen": "all"}
"""What of the backbone is tuned → `frozen_stages`: all, the last stage (Sun et al., ICCV 2017, Figure 4), nothing.

What is frozen keeps the statistics of its batch normalisations, too.
"""


def override(config: Config, overrides: Mapping[str, Any]) -> None:
    """Apply `iterations`, `images_per_step`, `image_size`, `trunk`, `norm` and config keys to `config`, in place."""
    plain = dict(overrides)
    if (iterations := plain.pop("iterations", None)) is not None:
        _scale_schedule(config, iterations)
    if (images_per_step := plain.pop("images_per_step", None)) is not None:
        config.task.images_per_step = _positive("images-per-step", images_per_step)
    if (image_size := plain.pop("image_size", None)) is not None:
        task_type(config.task.name).resize(config, _positive("image-size", image_size))
    if (trunk := plain.pop("trunk", None)) is not None:
        config.model.backbone.frozen_stages = BACKBONES[_one_of("trunk", trunk, BACKBONES)]
    if (norm := plain.pop("norm", None)) is not None:
        config.model.backbone.norm = _one_of("norm", norm, POLICIES)
    _check_keys(config, plain)
    config.merge_from_dict(plain)


def _scale_schedule(config: Config, iterations: int) -> None:
    """Shorten or lengthen the schedule; warm-up and milestones keep their share of it.

    A warm-up that shrinks below two steps is dropped: its only step would leave the rate at its start factor.
    """
    ratio = _positive("iterations", iterations) / config.train_cfg.max_iters
    config.train_cfg.max_iters = iterations
    scaled = [_scaled(scheduler, ratio) for scheduler in config.param_scheduler]
    config.param_scheduler = [s for s in scaled if s.type != "LinearLR" or s.end - s.begin >= 2]


def _scaled(scheduler: ConfigDict, ratio: float) -> ConfigDict:
    scheduler = ConfigDict(scheduler)
    scheduler.begin, scheduler.end = round(scheduler.begin * ratio), max(1, round(scheduler.end * ratio))
    if "milestones" in scheduler:
        scheduler.milestones = [max(1, round(step * ratio)) for step in scheduler.milestones]
    return scheduler


def _one_of(option: str, value: Any, known: Iterable[str]) -> str:
    if value not in known:
        raise UnknownName.among(f"value of --{option}", str(value), known)
    return str(value)


def _positive(option: str, value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise BadOption(f"--{option} must be a whole number from 1 on, not {value!r}.")
    return value


def _check_keys(config: Config, overrides: Mapping[str, Any]) -> None:
    """A mistyped key would silently change nothing: mmengine adds it."""
    for key in overrides:
        node: Any = config.to_dict()
        for part in key.split("."):
            known = _keys(node)
            if part not in known:
                available = ", ".join(known) or "nothing below it"
                raise BadOption(f"--set {key}: the head's config has no {part!r} there. Available: {available}.")
            node = node[int(part)] if isinstance(node, list | tuple) else node[part]


def _keys(node: Any) -> list[str]:
    if isinstance(node, Mapping):
        return list(node)
    return [str(index) for index in range(len(node))] if isinstance(node, list | tuple) else []
