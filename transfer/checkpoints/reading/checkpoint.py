"""Read a checkpoint file or folder safely, or say in one paragraph why it cannot be read."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer.checkpoints.reading.containers.config import read_config
from transfer.checkpoints.reading.containers.distributed import PLAN, read_distributed
from transfer.checkpoints.reading.containers.files import Content, read_file
from transfer.checkpoints.reading.containers.folders import weights_file
from transfer.checkpoints.reading.containers.sharded import SUFFIX, read_shards
from transfer.checkpoints.reading.tensorflow.bundle import INDEX
from transfer.checkpoints.reading.tensorflow.checkpoint import find_tensorflow, read_tensorflow, single_files
from transfer.errors import UnreadableCheckpoint


@dataclass(frozen=True)
class RawCheckpoint:
    """The content of a file: a tree of dicts, tensors and Python values.

    `container` is `torch zip`, `torch legacy`, `torchscript`, `torch distributed`, `pickle`, `safetensors`,
    `tensorflow`, `numpy npz`, `numpy npy` or `sharded <container>`; `config` is a `config.json` found next to the
    weights; `metadata` a safetensors file's own; `files` are those that hold the weights.
    """

    path: Path
    container: str
    tree: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def read_checkpoint(path: str | Path) -> RawCheckpoint:
    """Read a file, or the weights in a folder, without running anything that it brings.

    Raises UnreadableCheckpoint for what is missing, damaged or no checkpoint, UnsafeCheckpoint for a file that tries
    to run code.
    """
    found = find_tensorflow(Path(path))
    file = found or weights_file(Path(path))
    content, files = _tensorflow(found) if found else _content(file)
    if not isinstance(content.value, Mapping):
        raise UnreadableCheckpoint(
            f"{file} holds a {type(content.value).__name__}, not a dictionary of weights. Save a state dict instead: "
            "torch.save(model.state_dict(), file)."
        )
    return RawCheckpoint(file, content.container, content.value, read_config(file.parent), content.metadata, files)


def _content(file: Path) -> tuple[Content, tuple[Path, ...]]:
    if file.name == PLAN:
        return read_distributed(file)
    if file.name.endswith(SUFFIX):
        return read_shards(file)
    return read_file(file), (file,)


def _tensorflow(file: Path) -> tuple[Content, tuple[Path, ...]]:
    prefix = file.name.removesuffix(INDEX)
    shards = sorted(file.parent.glob(f"{glob.escape(prefix)}.data-*-of-*")) if file.name.endswith(INDEX) else []
    files = (file, *shards) if file.name.endswith(INDEX) else tuple(single_files(file))
    return Content("tensorflow", read_tensorflow(file)), files
