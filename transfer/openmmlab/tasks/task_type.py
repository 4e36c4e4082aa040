"""A task type: what differs between heads that find boxes, masks, joints or label maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict

from transfer.datasets.layouts import Split
from transfer.schemas.checkpoint import BackboneSpec


@dataclass(frozen=True)
class Classes:
    """Names of the classes in label order, and the COCO category id of each."""

    names: tuple[str, ...]
    category_ids: tuple[int, ...]


@dataclass(frozen=True)
class TaskType:
    """What a head of this type needs done, each in place.

    `scope` is OpenMMLab's library of such heads, `annotations` are those it is trained on, and whose metrics score it.

    - `fit(model, backbone, classes)` fits neck and heads to the backbone's levels and the number of classes, and
      returns the backbone as they need it; BadOption where it cannot.
    - `pad(preprocessor, patch)` makes every image whole patches of so many pixels a side.
    - `point(dataset, split, classes)` points OpenMMLab's data set at the files.
    - `resize(config, size)` makes `size` the longest side of images or crops.
    - `writer(config)` returns the evaluator that writes predictions, without its output.

    `any_stride` tells the user which heads of this type stand on every backbone.
    """

    name: str
    scope: str
    annotations: str
    fit: Callable[[ConfigDict, BackboneSpec, int], BackboneSpec]
    pad: Callable[[ConfigDict, int], None]
    point: Callable[[ConfigDict, Split, Classes], None]
    resize: Callable[[Config, int], None]
    writer: Callable[[Config], dict[str, Any]]
    any_stride: str
