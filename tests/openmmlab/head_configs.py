"""Heads at their sizes, written as `faster_rcnn_fpn/mini`."""

from __future__ import annotations

from typing import Any

from transfer.files.places import head_names, head_path
from transfer.openmmlab.head_files import load_head
from transfer.openmmlab.overrides import override

HEADS = {name: load_head(head_path(name)) for name in head_names()}
SIZED = [f"{name}/{size}" for name, head in HEADS.items() for size in head.sizes]


def head_config(sized: str, **overrides: Any) -> Any:
    name, size = sized.split("/")
    config = HEADS[name].config(size, {})
    override(config, overrides)
    return config
