"""Read files of torch < 1.6, and lone pickles.

A file is magic number, protocol, system, object and keys as pickles, then the storages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from transfer.checkpoints.reading.pickles.machine import Nested, StorageValues
from transfer.checkpoints.reading.pickles.unpickling import no_storage, unpickle
from transfer.checkpoints.reading.source import Source, values_of
from transfer.errors import UnreadableCheckpoint

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def read_legacy(source: Source, nested: Nested) -> tuple[str, Any]:
    """Return `torch legacy` or `pickle`, and the value that the file holds.

    The storages stand behind the pickle that names them, so that it is read twice: for their sizes, and for the tensors
    in the mapped file.
    """
    data = source.view(0, len(source))
    first, position = unpickle(data, nested=nested)
    if first != MAGIC:
        return "pickle", first
    protocol, position = unpickle(data, start=position)
    system, position = unpickle(data, start=position)
    if protocol != PROTOCOL or not isinstance(system, Mapping) or not system.get("little_endian", True):
        raise UnreadableCheckpoint(
            f"it was saved by an unknown torch (protocol {protocol!r:.20}). Re-save it with a current torch."
        )
    sizes = _Sizes(len(source))
    _, keys_at = unpickle(data, sizes.storage, nested, position)
    keys, storages_at = unpickle(data, start=keys_at)
    storages = _mapped(source, [str(key) for key in keys], sizes.known, storages_at)
    tree, _ = unpickle(data, lambda key, dtype, numel, view: _part(storages[key], view), nested, position)
    return "torch legacy", tree


def read_nested(data: Any) -> Any:
    """Return the storage or tensor that `torch.storage._load_from_bytes` would, of a torch file inside a pickle.

    This is how `pickle.dump` itself writes tensors: in the older format, one level deep.
    """
    return read_legacy(Source(memoryview(data)), no_storage)[1]


class _Sizes:
    """Notes each storage's size and type; its tensors have no data yet."""

    def __init__(self, limit: int) -> None:
        self.known: dict[str, tuple[torch.dtype, int]] = {}
        self._limit = limit

    def storage(self, key: str, dtype: torch.dtype, numel: int, view: Any) -> StorageValues:
        """Return a stand-in without data."""
        if numel < 0 or numel * dtype.itemsize > self._limit:
            raise EOFError(f"a storage of {numel:,} numbers does not fit into the file")
        dtype, numel = self.known.setdefault(key, (dtype, numel))
        return _part(torch.empty(numel, dtype=dtype, device="meta"), view)


def _part(storage: StorageValues, view: Any) -> StorageValues:
    return storage if view is None else storage[int(view[1]) : int(view[1]) + int(view[2])]


def _mapped(
    source: Source, keys: list[str], sizes: Mapping[str, tuple[torch.dtype, int]], position: int
) -> dict[str, StorageValues]:
    storages: dict[str, StorageValues] = {}
    for key in keys:
        dtype, numel = sizes[key]
        written = int.from_bytes(source.read(position, 8), "little")
        if written != numel:
            raise EOFError(f"a storage of {numel:,} numbers has {written:,}")
        size = numel * dtype.itemsize
        storages[key] = values_of(source.view(position + 8, size), dtype, numel)
        position += 8 + size
    return storages
