"""torch.distributed.checkpoint: a folder with a plan, `.metadata`, and one `.distcp` file per process.

The plan is a pickle of `Metadata` (torch/distributed/checkpoint/metadata.py): `state_dict_metadata` gives each tensor's
size, type and chunks, `storage_data` the file, offset and length of each chunk, which is a torch file of its own,
`planner_data` the path in the tree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transfer.checkpoints.reading.containers.files import Content, is_file_name, read_file, read_source
from transfer.checkpoints.reading.deferred import Deferred, loaded
from transfer.checkpoints.reading.pickles.inert import Inert
from transfer.checkpoints.reading.source import Source, opened
from transfer.errors import CheckpointError, UnreadableCheckpoint

PLAN = ".metadata"
Box = tuple[tuple[int, ...], tuple[int, ...]]
"""Offsets and sizes of a chunk."""


def read_distributed(plan: Path) -> tuple[Content, tuple[Path, ...]]:
    """Return the tree with its tensors assembled from their chunks, and the files that hold them.

    Raises UnreadableCheckpoint for a chunk that is missing, of another size than planned, or outside the folder.
    """
    metadata = read_file(plan).value
    try:
        return _assembled(plan, metadata)
    except UnreadableCheckpoint as error:
        raise UnreadableCheckpoint(f"{plan.parent}: {error}") from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged plan has any value anywhere
        raise UnreadableCheckpoint(
            f"{plan} is no plan of a distributed checkpoint ({type(error).__name__}: {error!s:.200}). Copy the folder "
            "again, with its hidden file .metadata."
        ) from error


def _assembled(plan: Path, metadata: Any) -> tuple[Content, tuple[Path, ...]]:
    chunks = _chunks(metadata["storage_data"])
    names = sorted({_file_name(plan, info) for places in chunks.values() for info in places.values()})
    with ExitStack() as stack:
        sources = {name: stack.enter_context(opened(_existing(plan, name))) for name in names}
        places = _Places(plan, sources)
        values = {
            name: _value(name, info, chunks.get(name, {}), places)
            for name, info in metadata["state_dict_metadata"].items()
        }
    paths = metadata.get("planner_data")
    tree = _unflattened(values, paths if isinstance(paths, Mapping) else {})
    return Content("torch distributed", tree), tuple(plan.with_name(name) for name in names)


def _chunks(storage_data: Mapping[Any, Any]) -> dict[str, dict[Any, Any]]:
    """Group chunks: name → offsets of the chunk (None for what is no tensor) → place in a file."""
    chunks: dict[str, dict[Any, Any]] = {}
    for index, info in storage_data.items():
        chunks.setdefault(index["fqn"], {})[index.get("offset")] = info
    return chunks


def _file_name(plan: Path, info: Mapping[str, Any]) -> str:
    name = info["relative_path"]
    if not is_file_name(name):
        raise UnreadableCheckpoint(f"its plan names the file {name!r:.80}, which leads out of the folder")
    return str(name)


def _existing(plan: Path, name: str) -> Path:
    path = plan.with_name(name)
    if not path.is_file():
        raise UnreadableCheckpoint(f"it lacks the file {name} that its plan names. Copy it.")
    return path


class _Places:
    """Reads what stands at a place in one of the files, once."""

    def __init__(self, plan: Path, sources: Mapping[str, Source]) -> None:
        self._plan, self._sources = plan, sources
        self._read: dict[tuple[str, int, int], Any] = {}

    def read(self, place: Mapping[str, Any]) -> Any:
        """Return the value that stands at a place."""
        key = file, offset, length = place["relative_path"], int(place["offset"]), int(place["length"])
        if key not in self._read:
            part = self._sources[file].part(offset, length)
            self._read[key] = read_source(part, self._plan.with_name(file)).value
        return self._read[key]

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(map(len, self._sources.values()))


def _value(name: str, info: Inert, chunks: Mapping[Any, Any], places: _Places) -> Any:
    if "chunks" not in info:
        return places.read(chunks[None]) if None in chunks else None
    size = tuple(info["size"])
    boxes = [(tuple(chunk["offsets"]), tuple(chunk["sizes"])) for chunk in info["chunks"]]
    if math.prod(size) > places.size():
        raise UnreadableCheckpoint(f"{name} of {size} is larger than the files that should hold it")
    _check_boxes(name, size, boxes)
    parts = {box: places.read(chunks[box[0]]) for box in boxes}
    for box, part in parts.items():
        if not isinstance(part, Tensor) or tuple(part.shape) != box[1]:
            raise UnreadableCheckpoint(f"the chunk of {name} at {box[0]} is not of its planned size {box[1]}")
    return _joined(size, parts)


def _check_boxes(name: str, size: tuple[int, ...], boxes: list[Box]) -> None:
    """Check that chunks fill the tensor: inside it, as many values as it has, none of them twice."""
    all_inside = all(
        len(offsets) == len(sizes) == len(size)
        and all(
            start >= 0 and n >= 0 and start + n <= side for start, n, side in zip(offsets, sizes, size, strict=True)
        )
        for offsets, sizes in boxes
    )
    count = sum(math.prod(sizes) for _, sizes in boxes)
    if not all_inside or count != math.prod(size) or (len(boxes) > 1 and not _covered(size, boxes)):
        raise UnreadableCheckpoint(f"the planned chunks of {name} do not fill its {size}: the plan is damaged")


def _covered(size: tuple[int, ...], boxes: list[Box]) -> bool:
    marks = torch.zeros(size, dtype=torch.bool)
    for box in boxes:
        marks[_slices(box)] = True
    return bool(marks.all())


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(start, start + n) for start, n in zip(*box, strict=True))


def _joined(size: tuple[int, ...], parts: Mapping[Box, Tensor]) -> Tensor:
    if len(parts) == 1:
        return next(iter(parts.values()))
    dtype = next(iter(parts.values())).dtype

    def join() -> Tensor:
        joined = torch.empty(size, dtype=dtype)
        for box, part in parts.items():
            joined[_slices(box)] = loaded(part)
        return joined

    return Deferred(size, None, dtype, join)


def _unflattened(values: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tree that was saved, its lists as dicts by position."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *folders, last = [str(part) for part in paths.get(name, (name,))]
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[last] = value
    return tree
