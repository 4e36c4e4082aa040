"""Head + backbone + data → one resolved mmengine config, from which a run can be repeated."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.config import Config, ConfigDict

from transfer.backbones.building import kind_of
from transfer.datasets.layouts import Split
from transfer.openmmlab.data import per_process
from transfer.openmmlab.tasks import task_type
from transfer.openmmlab.tasks.strides import require_stride
from transfer.openmmlab.tasks.task_type import Classes, TaskType
from transfer.schemas.checkpoint import BackboneSpec, InputContract

PIXEL_SCALE = {"0-1": 255.0, "0-255": 1.0}
"""OpenMMLab normalises 0-255 pixels; a contract's mean and std are in the units of its range."""


def compose(
    head: Config,
    *,
    backbone: BackboneSpec,
    contract: InputContract,
    weights: Path | None,
    train: Split,
    test: Split,
    classes: Classes,
    seed: int,
) -> Config:
    """Inject backbone, input contract, neck and head channels, classes, data paths and seed into a head's config."""
    config = Config(head.to_dict())
    task = task_type(config.task.name)
    require_stride(config.task.get("stride"), backbone, task.any_stride)
    _set_backbone(config.model, backbone, weights, len(classes.names), task)
    _set_input(config.model.data_preprocessor, contract)
    task.pad(config.model.data_preprocessor, backbone.options.get("patch", 1))
    for loader, split in ((config.train_dataloader, train), (config.test_dataloader, test)):
        task.point(loader.dataset, split, classes)
    _set_order(config, seed)
    config.category_ids = list(classes.category_ids)
    config.seed = seed
    return config


def _set_backbone(
    model: ConfigDict, backbone: BackboneSpec, weights: Path | None, classes: int, task: TaskType
) -> None:
    if not kind_of(backbone).dilates:
        model.backbone.pop("output_stride", None)
    fitted = task.fit(model, backbone, classes)
    source = {"spec": fitted.to_json(), "weights": None if weights is None else str(weights)}
    model.backbone.update(source)
    if "shared_head" in model.get("roi_head", {}):
        policy = {key: model.backbone[key] for key in ("frozen_stages", "norm")}
        model.roi_head.shared_head.update(source, **policy)


def _set_input(preprocessor: ConfigDict, contract: InputContract) -> None:
    scale = PIXEL_SCALE[contract.range]
    preprocessor.mean = [value * scale for value in contract.mean]
    preprocessor.std = [value * scale for value in contract.std]
    preprocessor.bgr_to_rgb = contract.channel_order == "RGB"  # images are decoded as BGR


def _set_order(config: Config, seed: int) -> None:
    """Training samples are a function of seed and position, test images come in the order of their file."""
    trained, tested, images = config.train_dataloader, config.test_dataloader, config.task.images_per_step
    positions = config.train_cfg.max_iters * images
    trained.dataset = ConfigDict(type="PositionedDataset", dataset=trained.dataset, seed=seed, positions=positions)
    trained.sampler = ConfigDict(type="StepSampler", images_per_step=images)
    tested.dataset = ConfigDict(type="WrappedDataset", dataset=tested.dataset)
    tested.sampler = ConfigDict(type="DefaultSampler", shuffle=False)


def for_processes(config: Config, processes: int) -> Config:
    """The same config with this launch's share of each step and of the cores: environment, not protocol."""
    config = Config(config.to_dict())
    config.train_dataloader.batch_size = per_process(config.task.images_per_step, processes)
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.num_workers = loader_workers(processes)
        loader.persistent_workers = loader.num_workers > 0
    return config


def loader_workers(processes: int) -> int:
    """Decoding processes beside each training process: its share of this machine's cores but two, at most eight."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    return max(0, min(8, (os.cpu_count() or 1) // here - 2))
