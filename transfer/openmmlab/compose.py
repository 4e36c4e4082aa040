"""Recipe + backbone + data + overrides → one resolved mmengine config, from which a run can be repeated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from transfer.backbones.building import kind_of, levels_of
from transfer.backbones.kind import Level
from transfer.datasets.layouts import Split
from transfer.errors import BadOption
from transfer.openmmlab.data import per_process
from transfer.openmmlab.necks import SimpleFeaturePyramid
from transfer.spec.checkpoint import BackboneSpec, InputContract

PIXEL_SCALE = {"0-1": 255.0, "0-255": 1.0}
"""OpenMMLab normalises 0-255 pixels; a contract's mean and std are in the units of its range."""


@dataclass(frozen=True)
class Classes:
    """Names of the classes in label order, and the COCO category id of each."""

    names: tuple[str, ...]
    category_ids: tuple[int, ...]


def load_recipe(path: Path, overrides: Mapping[str, Any]) -> Config:
    """Read a recipe and apply deviations: `iterations`, `images_per_step`, `image_size`, and dotted config keys.

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
    _check_keys(config, plain)
    config.merge_from_dict(plain)
    return config


def compose(
    recipe: Config,
    *,
    backbone: BackboneSpec,
    contract: InputContract,
    weights: Path | None,
    train: Split,
    test: Split,
    classes: Classes,
    seed: int,
) -> Config:
    """Inject backbone, input contract, neck and head channels, classes, data paths and seed into a recipe."""
    config = Config(recipe.to_dict())
    kind = config.task.kind
    _set_backbone(config.model, backbone, weights)
    _set_input(config.model.data_preprocessor, contract, backbone.options.get("patch", 1), kind)
    _set_classes(config.model, len(classes.names), kind)
    config.train_dataloader = _train_loader(config, train, classes, seed)
    config.test_dataloader = _test_loader(config, test, classes)
    config.category_ids = list(classes.category_ids)
    config.seed = seed
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
    """Scale the pipelines so that the longest side of a crop, or of an image where none is cropped, is `size`.

    Pose recipes keep their crops: their heatmaps belong to one size.
    """
    _positive("image-size", size)
    if config.task.kind == "keypoints":
        return
    steps = [step for loader in _loaders(config) for step in loader.dataset.pipeline]
    crops = [step.crop_size for step in steps if "crop_size" in step]
    ratio = size / max(max(pair) for pair in crops or [step.scale for step in steps if "scale" in step])
    sized = [(step, key) for step in steps for key in ("scale", "crop_size")]
    for node, key in [*sized, (config.model.data_preprocessor, "size")]:
        if key in node:
            node[key] = tuple(max(1, round(side * ratio)) for side in node[key])


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


def _set_backbone(model: ConfigDict, backbone: BackboneSpec, weights: Path | None) -> None:
    if not kind_of(backbone).dilates:
        model.backbone.pop("output_stride", None)
    if "neck" in model:
        backbone = _with_fine_levels(backbone)
    model.backbone.update(spec=backbone.to_json(), weights=None if weights is None else str(weights))
    levels = levels_of(backbone, output_stride=model.backbone.get("output_stride", 32))
    if "neck" in model:
        _set_neck(model, levels)
    for head in ("decode_head", "head"):
        if head in model:
            model[head].in_channels = levels[-1].channels
    if "head" in model:
        _set_deconvolutions(model.head, levels[-1].stride)


def _with_fine_levels(backbone: BackboneSpec) -> BackboneSpec:
    """A pyramid needs stride 4, which TF-slim's ResNets have only before their blocks stride."""
    if backbone.options.get("stride_in") != "last_unit":
        return backbone
    return replace(backbone, options={**backbone.options, "levels": "before_stride"})


def _set_neck(model: ConfigDict, levels: Sequence[Level]) -> None:
    """The recipe's pyramid where the trunk has its strides, else one made of the last level alone."""
    neck = model.neck
    if tuple(level.stride for level in levels) == SimpleFeaturePyramid.STRIDES:
        neck.in_channels = [level.channels for level in levels]
        return
    simple = {"type": "SimpleFeaturePyramid", "out_channels": neck.out_channels, "num_outs": neck.num_outs}
    model.neck = ConfigDict(simple, in_channels=levels[-1].channels, stride=levels[-1].stride)


def _set_deconvolutions(head: ConfigDict, stride: int) -> None:
    """Heatmaps have stride 4: each deconvolution doubles the resolution."""
    width = head.pop("deconv_width")
    size, heatmap = head.decoder.input_size, head.decoder.heatmap_size
    doublings = round(math.log2(stride * heatmap[0] / size[0]))
    if any(side % stride for side in size) or size[0] // stride * 2**doublings != heatmap[0]:
        raise BadOption(
            f"pose crops of {size[0]}x{size[1]} pixels with heatmaps of {heatmap[0]}x{heatmap[1]} need a trunk whose "
            f"stride divides them by a power of two; this one's is {stride}. Change head.decoder with --set."
        )
    head.deconv_out_channels = (width,) * doublings
    head.deconv_kernel_sizes = (4,) * doublings


def _set_input(preprocessor: ConfigDict, contract: InputContract, patch: int, kind: str) -> None:
    scale = PIXEL_SCALE[contract.range]
    preprocessor.mean = [value * scale for value in contract.mean]
    preprocessor.std = [value * scale for value in contract.std]
    preprocessor.bgr_to_rgb = contract.channel_order == "RGB"  # images are decoded as BGR
    if kind == "bbox":
        preprocessor.pad_size_divisor = math.lcm(preprocessor.pad_size_divisor, patch)
    elif kind == "miou":
        preprocessor.size = tuple(math.ceil(side / patch) * patch for side in preprocessor.size)
        preprocessor.test_cfg = ConfigDict(size_divisor=patch)


def _set_classes(model: ConfigDict, classes: int, kind: str) -> None:
    if kind == "bbox":
        model.roi_head.bbox_head.num_classes = classes
    elif kind == "miou":
        model.decode_head.num_classes = classes


def _train_loader(config: Config, split: Split, classes: Classes, seed: int) -> ConfigDict:
    loader = config.train_dataloader
    images = config.task.images_per_step
    positions = config.train_cfg.max_iters * images
    dataset = _dataset(loader.dataset, split, classes, config.task.kind)
    loader.dataset = ConfigDict(type="PositionedDataset", dataset=dataset, seed=seed, positions=positions)
    loader.sampler = ConfigDict(type="StepSampler", images_per_step=images)
    return loader


def _test_loader(config: Config, split: Split, classes: Classes) -> ConfigDict:
    loader = config.test_dataloader
    dataset = _dataset(loader.dataset, split, classes, config.task.kind)
    loader.dataset = ConfigDict(type="WrappedDataset", dataset=dataset)
    loader.sampler = ConfigDict(type="DefaultSampler", shuffle=False)
    return loader


def _dataset(dataset: ConfigDict, split: Split, classes: Classes, kind: str) -> ConfigDict:
    """Point OpenMMLab's data set at the files; its class list becomes the annotation file's."""
    dataset = ConfigDict(dataset)
    if kind == "miou":
        dataset.data_prefix = {"img_path": str(split.images), "seg_map_path": str(split.annotations)}
        dataset.ann_file = "" if split.listing is None else str(split.listing)
        dataset.metainfo = {"classes": list(classes.names)}
    else:
        dataset.data_prefix = {"img": str(split.images)}
        dataset.ann_file = str(split.annotations)
    if kind == "bbox":
        dataset.metainfo = {"classes": list(classes.names)}
    return dataset


def for_processes(config: Config, processes: int) -> Config:
    """The same config with this launch's share of each step and of the cores: environment, not recipe."""
    config = Config(config.to_dict())
    config.train_dataloader.batch_size = per_process(config.task.images_per_step, processes)
    for loader in _loaders(config):
        loader.num_workers = loader_workers(processes)
        loader.persistent_workers = loader.num_workers > 0
    return config


def loader_workers(processes: int) -> int:
    """Decoding processes beside each training process: its share of this machine's cores but two, at most eight."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    return max(0, min(8, (os.cpu_count() or 1) // here - 2))


def _loaders(config: Config) -> Iterator[ConfigDict]:
    yield from (config.train_dataloader, config.test_dataloader)
