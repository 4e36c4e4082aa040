"""Recipe + backbone + data → one resolved mmengine config, from which a run can be repeated."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict

from transfer.backbones.building import kind_of
from transfer.datasets.layouts import Split
from transfer.openmmlab.data import per_process
from transfer.openmmlab.heads.detection import fit_detector
from transfer.openmmlab.heads.pose import fit_pose
from transfer.openmmlab.heads.segmentation import fit_segmenter
from transfer.openmmlab.heads.strides import require_stride
from transfer.openmmlab.recipes import loaders
from transfer.schemas.checkpoint import BackboneSpec, InputContract

PIXEL_SCALE = {"0-1": 255.0, "0-255": 1.0}
"""OpenMMLab normalises 0-255 pixels; a contract's mean and std are in the units of its range."""


FITTING = {
    "bbox": fit_detector,
    "segm": fit_detector,
    "voc": fit_detector,
    "miou": fit_segmenter,
    "keypoints": fit_pose,
}

DETECTION = ("bbox", "segm", "voc")


@dataclass(frozen=True)
class Classes:
    """Names of the classes in label order, and the COCO category id of each."""

    names: tuple[str, ...]
    category_ids: tuple[int, ...]


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
    require_stride(config.task, backbone)
    _set_backbone(config.model, backbone, weights, len(classes.names), kind)
    _set_input(config.model.data_preprocessor, contract, backbone.options.get("patch", 1), kind)
    config.train_dataloader = _train_loader(config, train, classes, seed)
    config.test_dataloader = _test_loader(config, test, classes)
    config.category_ids = list(classes.category_ids)
    config.seed = seed
    return config


def _set_backbone(model: ConfigDict, backbone: BackboneSpec, weights: Path | None, classes: int, kind: str) -> None:
    if not kind_of(backbone).dilates:
        model.backbone.pop("output_stride", None)
    fitted = FITTING[kind](model, backbone, classes)
    source = {"spec": fitted.to_json(), "weights": None if weights is None else str(weights)}
    model.backbone.update(source)
    if "shared_head" in model.get("roi_head", {}):
        policy = {key: model.backbone[key] for key in ("frozen_stages", "norm")}
        model.roi_head.shared_head.update(source, **policy)


def _set_input(preprocessor: ConfigDict, contract: InputContract, patch: int, kind: str) -> None:
    scale = PIXEL_SCALE[contract.range]
    preprocessor.mean = [value * scale for value in contract.mean]
    preprocessor.std = [value * scale for value in contract.std]
    preprocessor.bgr_to_rgb = contract.channel_order == "RGB"  # images are decoded as BGR
    if kind in DETECTION:
        preprocessor.pad_size_divisor = math.lcm(preprocessor.pad_size_divisor, patch)
    elif kind == "miou":
        preprocessor.size = _whole_patches(preprocessor.size, patch)
        tested = preprocessor.get("test_cfg", {}).get("size")  # of the one crop that holds every test image, if any
        padding = {"size_divisor": patch} if tested is None else {"size": _whole_patches(tested, patch)}
        preprocessor.test_cfg = ConfigDict(padding)


def _whole_patches(size: Sequence[int], patch: int) -> tuple[int, ...]:
    return tuple(math.ceil(side / patch) * patch for side in size)


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
    if kind in DETECTION:
        dataset.metainfo = {"classes": list(classes.names)}
    return dataset


def for_processes(config: Config, processes: int) -> Config:
    """The same config with this launch's share of each step and of the cores: environment, not recipe."""
    config = Config(config.to_dict())
    config.train_dataloader.batch_size = per_process(config.task.images_per_step, processes)
    for loader in loaders(config):
        loader.num_workers = loader_workers(processes)
        loader.persistent_workers = loader.num_workers > 0
    return config


def loader_workers(processes: int) -> int:
    """Decoding processes beside each training process: its share of this machine's cores but two, at most eight."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    return max(0, min(8, (os.cpu_count() or 1) // here - 2))
