"""Recipe file + deviations → the mmengine config that stands for the recipe's part of a protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from transfer.errors import BadOption, UnknownName
from transfer.openmmlab.norms import POLICIES

BACKBONES: Mapping[str, int | str] = {"full": -1, "before-conv5": "all_but_last", "frozen": "all"}
"""What of the backbone is tuned → `frozen_stages`: all, the last stage (Sun et al., ICCV 2017, Figure 4), nothing.

What is frozen keeps the statistics of its batch normalisations, too.
"""


def load_recipe(path: Path, overrides: Mapping[str, Any]) -> Config:
    """Read a recipe and apply deviations: `iterations`, `images_per_step`, `image_size`, `network`, `norm`, config keys.

    The result names no path and no checkpoint: it is the part of a protocol that the recipe decides.
    """
    config = Config.fromfile(path)
    plain = dict(overrides)
    if (iterations := plain.pop("iterations", None)) is not None:
        _scale_schedule(config, iterations)
    if (images_per_step := plain.pop("images_per_step", None)) is not None:
        config.task.images_per_step = _positive("images-per-step", images_per_step)
    if (image_size := plain.pop("image_size", None)) is not None:
        _resize_images(config, image_size)
    if (network := plain.pop("trunk", None)) is not None:
        config.model.backbone.frozen_stages = BACKBONES[_one_of("trunk", network, BACKBONES)]
    if (norm := plain.pop("norm", None)) is not None:
        config.model.backbone.norm = _one_of("norm", norm, POLICIES)
    _check_keys(config, plain)
    config.merge_from_dict(plain)
    return config


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


def _resize_images(config: Config, size: int) -> None:
    """Scale the pipelines so that the longest side of a crop, or of a test image where none is cropped, is `size`.

    Pose recipes keep their crops: their heatmaps belong to one size.
    """
    _positive("image-size", size)
    if config.task.kind == "keypoints":
        return
    trained, tested = (loader.dataset.pipeline for loader in loaders(config))
    crops = [step.crop_size for step in trained if "crop_size" in step]
    ratio = size / max(max(pair) for pair in crops or [step.scale for step in tested if "scale" in step])
    preprocessor = config.model.data_preprocessor
    for node in (*_steps(trained), *_steps(tested), preprocessor, preprocessor.get("test_cfg", {})):
        for key in ("scale", "crop_size", "size"):
            if key in node:
                node[key] = _times(node[key], ratio)
        if "scales" in node:
            node.scales = [_times(pair, ratio) for pair in node.scales]


def _steps(pipeline: Iterable[ConfigDict]) -> Iterator[ConfigDict]:
    """The steps of a pipeline, and those of which a step chooses."""
    for step in pipeline:
        yield step
        for choice in step.get("transforms", ()):
            yield from _steps(choice)


def _times(sides: Iterable[int], ratio: float) -> tuple[int, ...]:
    return tuple(max(1, round(side * ratio)) for side in sides)


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
                raise BadOption(f"--set {key}: the recipe has no {part!r} there. Available: {available}.")
            node = node[int(part)] if isinstance(node, list | tuple) else node[part]


def _keys(node: Any) -> list[str]:
    if isinstance(node, Mapping):
        return list(node)
    return [str(index) for index in range(len(node))] if isinstance(node, list | tuple) else []


def loaders(config: Config) -> Iterator[ConfigDict]:
    """Of the training and of the test images."""
    yield from (config.train_dataloader, config.test_dataloader)
