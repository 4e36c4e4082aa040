"""Read files of torch >= 1.6: a zip archive of one pickle and one stored record per storage, mapped on demand.

TorchScript programs are archives of the same kind; their weights are read, their code is not.
"""

from __future__ import annotations

from typing import Any

import torch

from transfer.checkpoints.reading.containers.archive import Archive, Entry
from transfer.checkpoints.reading.containers.torch_legacy import read_nested
from transfer.checkpoints.reading.deferred import Unaligned
from transfer.checkpoints.reading.pickles.inert import Inert
from transfer.checkpoints.reading.pickles.modules import script_state_dict
from transfer.checkpoints.reading.pickles.unpickling import unpickle
from transfer.checkpoints.reading.source import values_of
from transfer.errors import UnreadableCheckpoint, UnsafeCheckpoint

READ_WHOLE = 2**24
"""Pickles up to this are copied: quicker than touching the mapped file's pages."""


def read_torch_zip(archive: Archive, name: str) -> tuple[str, Any]:
    """Return `torch zip` or `torchscript`, and the value that the archive holds."""
    records = _records(archive, name)
    tree = _tree(archive, records)
    if "constants.pkl" not in records:
        return "torch zip", tree
    tensors = script_state_dict(tree) if isinstance(tree, Inert) else {}
    if not tensors:
        raise UnsafeCheckpoint(
            f"{name} is a TorchScript program without weights in its attributes, and loading it would run the program. "
            "Export its state dict on a machine where you trust it: torch.save(torch.jit.load(file).state_dict(), ...)."
        )
    return "torchscript", tensors


def _records(archive: Archive, name: str) -> dict[str, Entry]:
    """Return entries by their names within the archive's one folder."""
    folders = [entry.removesuffix("data.pkl") for entry in archive.entries if entry.count("/") == 1]
    folder = next((f for f in folders if f + "data.pkl" in archive.entries), None)
    if folder is None:
        names = ", ".join(list(archive.entries)[:3]) or "nothing"
        raise UnreadableCheckpoint(
            f"{name} is a zip archive, but not one that torch.save wrote: it holds {names}. If the checkpoint "
            "is inside, unpack it first."
        )
    return {n.removeprefix(folder): entry for n, entry in archive.entries.items() if n.startswith(folder)}


def _tree(archive: Archive, records: dict[str, Entry]) -> Any:
    if "byteorder" in records and archive.read(records["byteorder"], 8) != b"little":
        raise UnreadableCheckpoint("it was saved on a big-endian machine: re-save it on a common one")
    seen: dict[str, memoryview] = {}
    typed: dict[tuple[str, torch.dtype, int], torch.Tensor | Unaligned] = {}

    def storage(key: str, dtype: torch.dtype, numel: int, _view: Any) -> torch.Tensor | Unaligned:
        if key not in seen:
            if f"data/{key}" not in records:
                raise EOFError(f"record data/{key} is missing")
            seen[key] = archive.view(records[f"data/{key}"])
        if (key, dtype, numel) not in typed:
            typed[key, dtype, numel] = values_of(seen[key], dtype, numel)
        return typed[key, dtype, numel]

    entry = records["data.pkl"]
    data = archive.read(entry) if entry.size <= READ_WHOLE else archive.view(entry)
    return unpickle(data, storage, read_nested)[0]
