"""Feature pyramids on a backbone's levels, and the strides that a detector's heads believe their maps to have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import ConfigDict

from transfer.backbones.kind import Level
from transfer.errors import BadOption
from transfer.openmmlab.necks import SimpleFeaturePyramid

HEADS = ("rpn_head", "bbox_head")
"""Parts of a detector that lay anchors or points on every map."""

OPTIONAL = {"start_level": 0, "add_extra_convs": False, "relu_before_extra_convs": False}
"""Options of mmdet's FPN that a pyramid of one map has, too, and their defaults."""


def fit_pyramid(model: ConfigDict, levels: Sequence[Level]) -> list[int]:
    """Fit the neck to the levels, in place, and return the strides of its maps.

    A feature pyramid stays where the levels have its strides; elsewhere one of the same maps is made of the last level.
    Raises BadOption for another neck.
    """
    neck = _pyramid(model)
    if tuple(level.stride for level in levels) == SimpleFeaturePyramid.STRIDES:
        neck.in_channels = [level.channels for level in levels]
    else:
        options = {key: neck[key] for key, default in OPTIONAL.items() if neck.get(key, default) != default}
        sizes = {"out_channels": neck.out_channels, "num_outs": neck.num_outs}
        last = {"in_channels": levels[-1].channels, "stride": levels[-1].stride}
        model.neck = ConfigDict(type="SimpleFeaturePyramid", **sizes, **last, **options)
    finest, first = SimpleFeaturePyramid.STRIDES[0], neck.get("start_level", 0)
    return [finest << level for level in range(first, first + neck.num_outs)]


def check_strides(model: ConfigDict, strides: Sequence[int]) -> None:
    """Raise BadOption where a head lays its anchors, or cuts its regions, at other strides than those of its maps."""
    for name in HEADS:
        if name in model:
            _require(f"{name} {model[name].type}", _asked(model[name]), strides)
    for name, part in model.get("roi_head", {}).items():
        if name.endswith("_roi_extractor"):
            for extractor in _parts(part):
                asked = list(extractor.featmap_strides)
                _require(f"roi_head.{name}", asked, strides[: len(asked)])


def _pyramid(model: ConfigDict) -> ConfigDict:
    neck = model.get("neck")
    if neck is None or neck.type != "FPN" or neck.get("end_level", -1) not in (-1, 3):
        found = "none" if neck is None else f"{neck.type} with end_level {neck.get('end_level', -1)}"
        raise BadOption(
            f"a detector's neck must be one FPN over all levels of the backbone, which can be fitted to any; found "
            f"{found}. Write neck=dict(type='FPN', out_channels=256, start_level=0 or 1, num_outs=5)."
        )
    return neck


def _asked(head: ConfigDict) -> list[int]:
    """Return the strides at which a head lays anchors or points."""
    generator = head.get("anchor_generator") or head.get("prior_generator") or {}
    strides = generator.get("strides") or head.get("strides") or head.get("point_strides")
    if strides is None:
        raise BadOption(
            f"head {head.type} does not say the strides of the maps it stands on, so they cannot be compared with the "
            "neck's. Write its strides, or those of its anchor_generator."
        )
    return [stride if isinstance(stride, int) else stride[0] for stride in strides]


def _require(what: str, asked: list[int], strides: Sequence[int]) -> None:
    if asked != list(strides):
        raise BadOption(
            f"{what} is for maps of strides {', '.join(map(str, asked))}, but those that it gets have "
            f"{', '.join(map(str, strides))}: it would look in the wrong places. Change start_level and num_outs of "
            "the neck, or the strides of the head."
        )


def _parts(part: Any) -> Iterator[ConfigDict]:
    """Yield a part of a model, or each one of a cascade."""
    if part is not None:
        yield from part if isinstance(part, list | tuple) else [part]
