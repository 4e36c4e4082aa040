"""A head of the user's own: an mmengine config as mmdet, mmseg and mmpose have them.

Its backbone, classes, input normalisation and data are replaced; model, pipelines, optimizer, rates and number of steps
are the user's. What else it says is honoured, or refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.config.utils import ConfigParsingError
from mmengine.registry import MODELS, init_default_scope

from transfer.errors import BadOption
from transfer.files.fingerprint import fingerprint
from transfer.openmmlab.stack import import_stack, quiet
from transfer.openmmlab.tasks import TASKS, task_type
from transfer.openmmlab.user_settings import check_schedule, check_settings
from transfer.schemas.mapping import plain

BACKBONE = {"type": "TransferBackbone", "frozen_stages": -1, "norm": "sync"}
DATASETS = {"mmdet": "CocoDataset", "mmseg": "BaseSegDataset", "mmpose": "CocoDataset"}
PREPROCESSORS = {"mmdet": "StepDetDataPreprocessor", "mmseg": "SegDataPreProcessor", "mmpose": "PoseDataPreprocessor"}


@dataclass(frozen=True)
class UserHead:
    """A user's config in the form of this package's heads; `label` is its file's name and a hash of what it says."""

    label: str
    config: Config

    @classmethod
    def read(cls, path: Path) -> UserHead:
        """Execute a head's file. Raises BadOption naming what cannot be read, honoured or guessed."""
        given = _parsed(path)
        try:
            check_settings(given)
            config = _converted(given)
        except BadOption as error:
            raise BadOption(f"{path}: {error}") from error
        config.task.file = f"{path.stem}-{fingerprint(plain(given.to_dict()))[:8]}"
        return cls(config.task.file, config)

    def instead_of(self, heads: Sequence[Config]) -> list[Config]:
        """Return `heads` with this one in the place of those of its type. Raises BadOption where there is none."""
        mine = self.config.task.name
        if mine not in (found := [head.task.name for head in heads]):
            raise BadOption(
                f"head {self.label} is for {mine}, and the tasks asked for are for {', '.join(sorted(set(found)))}. "
                f"Choose a suite or --tasks with {mine}."
            )
        return [
            Config(self.config.to_dict()) if kind == mine else head for kind, head in zip(found, heads, strict=True)
        ]


def check_builds(config: Config) -> None:
    """Raise BadOption where a composed config's model cannot be built; tried without memory for its weights."""
    import_stack()
    init_default_scope(config.default_scope)
    try:
        with quiet(), torch.device("meta"):
            MODELS.build(config.model)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise BadOption(f"head {config.task.file} cannot be built: {type(error).__name__}: {error}") from error


def _parsed(path: Path) -> Config:
    if not path.is_file():
        raise BadOption(f"there is no head file {path}. --head takes a config of mmdet, mmseg or mmpose.")
    try:
        return Config.fromfile(path, lazy_import=False)
    except (ConfigParsingError, OSError, SyntaxError, ImportError, NameError, TypeError, KeyError) as error:
        raise BadOption(f"{path} cannot be read as an mmengine config: {type(error).__name__}: {error}") from error


def _converted(given: Config) -> Config:
    """Return the parts that count, in the form that heads of this package have."""
    task = task_type(_task_of(given))
    model = ConfigDict(given.model.to_dict())
    model.pop("pretrained", None)  # of the backbone
    model.data_preprocessor = _preprocessor(model.get("data_preprocessor", {}), task.scope)
    model.backbone = _backbone(model.get("backbone", {}))
    _draw_by_position(model.get("train_cfg", {}))
    train, test = (_dataset(given, split, task.scope) for split in ("train", "test"))
    return Config(
        {
            "default_scope": task.scope,
            "task": {"name": task.name, "images_per_step": _images_per_step(given)},
            "model": model,
            "train_dataloader": {"dataset": train},
            "test_dataloader": {"batch_size": given.get("test_dataloader", {}).get("batch_size", 1), "dataset": test},
            **check_schedule(given),
            **({"writer": given.writer} if "writer" in given else {}),
        }
    )


def _task_of(given: Config) -> str:
    """mmdet's heads with a mask head find instances; otherwise a library has one task type."""
    scope = given.get("default_scope")
    scopes = sorted({task.scope for task in TASKS})
    if scope not in scopes or "model" not in given:
        raise BadOption(f"a head says model=dict(...) and default_scope, one of {', '.join(scopes)}; found {scope!r}.")
    found = [task.name for task in TASKS if task.scope == scope]
    if scope != "mmdet":
        return found[0]
    model = given.model
    return "instances" if "mask_head" in model or "mask_head" in model.get("roi_head", {}) else "detection"


def _preprocessor(theirs: Mapping[str, Any], scope: str) -> ConfigDict:
    """Padding and sizes are theirs; mean, deviation and channel order the checkpoint's."""
    if theirs.get("batch_augments"):
        raise BadOption("batch_augments of the data_preprocessor draw in every process for itself. Leave them out.")
    normalisation = ("type", "mean", "std", "bgr_to_rgb", "rgb_to_bgr", "batch_augments")
    kept = {key: value for key, value in theirs.items() if key not in normalisation}
    if scope == "mmdet":
        kept.setdefault("pad_size_divisor", 32)
    if scope == "mmseg" and "size" not in kept:
        raise BadOption("model.data_preprocessor has no size. Write size=crop_size, to which crops are padded.")
    return ConfigDict(type=PREPROCESSORS[scope], **kept)


def _backbone(theirs: Mapping[str, Any]) -> ConfigDict:
    """Replaced as a whole, but for how far it is dilated: the head's rates belong to that stride."""
    if theirs.get("type") == "TransferBackbone":
        return ConfigDict({**BACKBONE, **theirs})
    if "dilations" in theirs and "strides" in theirs:
        return ConfigDict(BACKBONE, output_stride=4 * math.prod(theirs["strides"]))
    return ConfigDict(BACKBONE)


def _draw_by_position(node: Any) -> None:
    """mmdet's random samplers draw from each process's generator; ours draw as many, by the image's position."""
    if isinstance(node, Mapping):
        if node.get("type") == "RandomSampler":
            node["type"] = "PositionSampler"  # type: ignore[index]
        for value in node.values():
            _draw_by_position(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _draw_by_position(value)


def _dataset(given: Config, split: str, scope: str) -> ConfigDict:
    """Return the data set with their pipeline and filters; what it reads is the suite's."""
    theirs = given.get(f"{split}_dataloader", {}).get("dataset", {})
    if "dataset" in theirs or "datasets" in theirs:
        raise BadOption(f"{split}_dataloader wraps data sets in a {theirs.get('type')}. Name one data set alone.")
    pipeline = theirs.get("pipeline") or given.get(f"{split}_pipeline")
    if not pipeline:
        raise BadOption(f"there is neither {split}_dataloader.dataset.pipeline nor {split}_pipeline.")
    kept = {key: theirs[key] for key in ("filter_cfg",) if key in theirs}
    form = {"data_mode": "topdown"} if scope == "mmpose" else {"seg_map_suffix": ".png"} if scope == "mmseg" else {}
    testing = {"test_mode": True} if split == "test" else {}
    return ConfigDict(type=DATASETS[scope], **form, **testing, **kept, pipeline=_without_evaluation(pipeline, split))


def _without_evaluation(pipeline: Sequence[ConfigDict], split: str) -> list[ConfigDict]:
    """The test's truth is read by the scorer, not by the model's pipeline."""
    return [step for step in pipeline if split == "train" or step.type != "LoadAnnotations"]


def _images_per_step(given: Config) -> int:
    """A loader's batch size is for one process; the step's is said, or known from how its rates were chosen."""
    said = given.get("images_per_step", given.get("auto_scale_lr", {}).get("base_batch_size"))
    if not isinstance(said, int):
        raise BadOption(
            "how many images a step has over all processes is not said: batch_size is for each of them. Write "
            "images_per_step = 16."
        )
    return said
