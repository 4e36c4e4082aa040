"""Read Hugging Face checkpoints in several files: an index says which tensor stands in which shard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from transfer.checkpoints.reading.containers.config import read_object
from transfer.checkpoints.reading.containers.files import Content, is_file_name, read_file
from transfer.errors import UnreadableCheckpoint

INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SUFFIX = ".index.json"
SHOWN = 5


def read_shards(index: Path) -> tuple[Content, tuple[Path, ...]]:
    """Read all tensors that the index lists; also return the shards.

    Raises UnreadableCheckpoint where index and shards differ.
    """
    places = _weight_map(index)
    shards = {name: read_file(_shard(index, name)) for name in sorted(set(places.values()))}
    lacking = [f"{name} in {shard}" for name, shard in places.items() if name not in _tensors(shards[shard], shard)]
    extra = [f"{name} in {shard}" for shard, content in shards.items() for name in content.value if name not in places]
    if lacking or extra:
        raise UnreadableCheckpoint(
            f"{index} and its shards differ: "
            + _listed("lack", lacking)
            + _listed("have in addition", extra)
            + ". Download "
            "the folder again: its files belong to different checkpoints."
        )
    kind = next(iter(shards.values())).container
    tensors = {name: shards[shard].value[name] for name, shard in places.items()}
    return Content(f"sharded {kind}", tensors), tuple(index.with_name(name) for name in shards)


def _weight_map(index: Path) -> Mapping[str, str]:
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(shard, str) for shard in places.values()):
        raise UnreadableCheckpoint(f"{index} should list under weight_map which file holds which tensor.")
    return places


def _shard(index: Path, name: str) -> Path:
    if not is_file_name(name):
        raise UnreadableCheckpoint(f"{index} names the shard {name[:80]!r}, which leads out of its folder.")
    path = index.with_name(name)
    if not path.is_file():
        raise UnreadableCheckpoint(f"{index.parent} lacks the shard {name} that its index names. Download it.")
    return path


def _tensors(content: Content, shard: str) -> Mapping[str, Tensor]:
    if not isinstance(content.value, Mapping):
        raise UnreadableCheckpoint(f"the shard {shard} holds a {type(content.value).__name__}, not tensors by name.")
    return content.value


def _listed(verb: str, names: list[Any]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"the shards {verb} {', '.join(names[:SHOWN])}{rest} " if names else ""
