"""The containers that checkpoints come in: torch's zip archive, its older stream of pickles, safetensors.

Every reader returns the tree of dicts, lists, tensors and plain values that was saved; none runs the file's code.
"""

from __future__ import annotations

import io
import json
import mmap
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import safe_open

from transfer.checkpoints.unpickling import SafeUnpickler
from transfer.errors import UnreadableCheckpoint, UnsafeCheckpoint

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


def read_zip(path: Path) -> Any:
    """torch >= 1.6: one pickle, and one stored record per storage, mapped into memory on demand."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        records = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        _refuse_other_zips(path, records)
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        seen: dict[str, torch.Tensor] = {}

        def storage(key: str, dtype: torch.dtype, numel: int, _view: Any) -> torch.Tensor:
            if key not in seen:
                seen[key] = _record(archive, records, f"data/{key}", whole)
            return _typed(seen[key], dtype, numel)

        return SafeUnpickler(io.BytesIO(archive.read(records["data.pkl"])), storage).load()


def _refuse_other_zips(path: Path, records: Mapping[str, zipfile.ZipInfo]) -> None:
    if "constants.pkl" in records:
        raise UnsafeCheckpoint(
            f"{path.name} is a TorchScript archive: a program with weights, and loading it would run the program. "
            "Export its state dict on a machine where you trust it: torch.save(torch.jit.load(file).state_dict(), ...)."
        )
    if "data.pkl" not in records:
        inside = ", ".join(list(records)[:3]) or "nothing"
        raise UnreadableCheckpoint(
            f"{path.name} is a zip archive, but not one that torch.save wrote: it holds {inside}. If the checkpoint "
            "is inside, unpack it first."
        )


def _record(
    archive: zipfile.ZipFile, records: Mapping[str, zipfile.ZipInfo], name: str, whole: mmap.mmap
) -> torch.Tensor:
    """The bytes of a record: a view of the mapped file where it is stored as it is."""
    if name not in records:
        raise EOFError(f"record {name} is missing")
    info = records[name]
    if info.file_size == 0:
        return torch.empty(0, dtype=torch.uint8)
    if info.compress_type != zipfile.ZIP_STORED:
        return torch.frombuffer(bytearray(archive.read(info)), dtype=torch.uint8)
    header = whole[info.header_offset : info.header_offset + 30]
    start = info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return torch.frombuffer(whole, dtype=torch.uint8, count=info.file_size, offset=start)


def _typed(data: torch.Tensor, dtype: torch.dtype, numel: int) -> torch.Tensor:
    size = numel * dtype.itemsize
    if numel < 0 or size > data.numel():
        raise EOFError(f"a storage of {size} bytes has only {data.numel()}")
    if data.data_ptr() % dtype.itemsize:
        data = data[:size].clone()
    return data[:size].view(dtype)


def read_legacy(path: Path) -> Any:
    """torch < 1.6: magic number, protocol, system, object and keys as pickles, then the storages; or a lone pickle."""
    limit = path.stat().st_size
    with path.open("rb") as file:
        first = SafeUnpickler(file, _no_storage).load()
        if first != LEGACY_MAGIC:
            return first
        protocol, system = (SafeUnpickler(file, _no_storage).load() for _ in range(2))
        if protocol != LEGACY_PROTOCOL or not system.get("little_endian", True):
            raise UnreadableCheckpoint(
                f"{path.name} was saved by an unknown torch (protocol {protocol}). Re-save it with a current torch."
            )
        storages: dict[str, torch.Tensor] = {}

        def storage(key: str, dtype: torch.dtype, numel: int, view: Any) -> torch.Tensor:
            if key not in storages:
                if numel < 0 or numel * dtype.itemsize > limit:
                    raise EOFError(f"a storage of {numel} numbers does not fit into the file")
                storages[key] = torch.empty(numel, dtype=dtype)
            whole = storages[key]
            return whole if view is None else whole[int(view[1]) : int(view[1]) + int(view[2])]

        tree = SafeUnpickler(file, storage).load()
        for key in SafeUnpickler(file, _no_storage).load():
            _fill(file, storages[str(key)])
        return tree


def _no_storage(*_args: Any) -> torch.Tensor:
    raise pickle.UnpicklingError("a storage where none can be")


def _fill(file: IO[bytes], storage: torch.Tensor) -> None:
    numel = int.from_bytes(file.read(8), "little")
    data = bytearray(file.read(storage.numel() * storage.dtype.itemsize))
    if numel != storage.numel() or len(data) != numel * storage.dtype.itemsize:
        raise EOFError(f"a storage of {storage.numel()} numbers has {len(data)} bytes")
    if numel:
        storage.copy_(torch.frombuffer(data, dtype=storage.dtype))


def read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Names → tensors, mapped into memory, and the file's metadata."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_config(path: Path) -> Mapping[str, Any]:
    """`config.json` beside a weights file, with `preprocessor_config.json` under `preprocessor`; empty without them.

    Raises UnreadableCheckpoint if one is damaged.
    """
    config, preprocessor = (_object(path.with_name(name)) for name in ("config.json", "preprocessor_config.json"))
    return {**config, "preprocessor": preprocessor} if preprocessor else config


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UnreadableCheckpoint(
            f"{path} beside the weights is not valid JSON ({error}). Repair or remove it."
        ) from error
    return value if isinstance(value, dict) else {}
