"""Other sizes of images for the pipelines of a config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmengine.config import Config, ConfigDict


def resize_images(config: Config, size: int) -> None:
    """Scale the pipelines so that the longest side of a crop, or of a test image where none is cropped, is `size`."""
    trained, tested = config.train_dataloader.dataset.pipeline, config.test_dataloader.dataset.pipeline
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
    """Yield the steps of a pipeline, and those of which a step chooses."""
    for step in pipeline:
        yield step
        for choice in step.get("transforms", ()):
            yield from _steps(choice)


def _times(sides: Iterable[int], ratio: float) -> tuple[int, ...]:
    return tuple(max(1, round(side * ratio)) for side in sides)
