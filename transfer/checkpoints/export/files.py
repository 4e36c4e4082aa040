"""Write files of other libraries atomically, with the certificate next to or inside them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transfer.checkpoints.export.library import Export
from transfer.checkpoints.keys.values import Value
from transfer.checkpoints.loading import CERTIFICATE
from transfer.checkpoints.writing import Entry, write_safetensors
from transfer.errors import BadOption
from transfer.files.atomic import replacing, replacing_folder, write_json
from transfer.schemas.checkpoint import Certificate

CONVERSION = "conversion.json"
WEIGHTS = "model.safetensors"


def write_folder(path: Path, export: Export, certificate: Certificate) -> None:
    """Write `model.safetensors` with the certificate in its metadata, the export's JSON files, `conversion.json`.

    One tensor at a time is in memory. Raises BadOption for a folder that holds something.
    """
    with replacing_folder(path) as folder:
        entries = {name: Entry(value.shape, value.dtype, value.load) for name, value in export.tensors.items()}
        # transformers reads only files that say which framework's tensors they hold
        metadata = {"format": "pt", CERTIFICATE: json.dumps(certificate.to_json())}
        write_safetensors(folder / WEIGHTS, entries, metadata)
        for name, content in {**export.files, CONVERSION: _conversion(export, certificate)}.items():
            write_json(folder / name, content)


def write_pth(path: Path, export: Export, certificate: Certificate) -> None:
    """Write a state dict as `torch.save` does, and `NAME.conversion.json` next to it."""
    with replacing(path) as temporary:
        torch.save(_tensors(export.tensors), temporary)
    _write_conversion(path, export, certificate)


def write_checkpoint(path: Path, export: Export, certificate: Certificate) -> None:
    """Write mmengine's form: the state dict under `state_dict`, the config that goes with it in `meta`."""
    with replacing(path) as temporary:
        torch.save({"meta": {"cfg": export.snippet}, "state_dict": _tensors(export.tensors)}, temporary)
    _write_conversion(path, export, certificate)


def write_pickle(path: Path, export: Export, certificate: Certificate) -> None:
    """Write arrays under `model` as detectron2's model zoo has them, and `NAME.conversion.json` next to it.

    Detectors keep their backbone under a prefix, which only detectron2's heuristics bridge: without them nothing would
    be loaded, with a warning. Raises BadOption for a name that detectron2 takes for another format.
    """
    if path.suffix != ".pkl":
        raise BadOption(f"{path}: detectron2 knows such a file by its suffix: give it a name that ends in .pkl.")
    arrays = {name: tensor.numpy() for name, tensor in _tensors(export.tensors).items()}
    content = {"model": arrays, "__author__": "transfer", "matching_heuristics": True}
    with replacing(path) as temporary, temporary.open("wb") as file:
        pickle.dump(content, file, protocol=4)
    _write_conversion(path, export, certificate)


def _tensors(values: Mapping[str, Value]) -> dict[str, Tensor]:
    # each with a storage of its own: a file would hold all of what they are views of
    return {name: value.load().clone(memory_format=torch.contiguous_format) for name, value in values.items()}


def _write_conversion(path: Path, export: Export, certificate: Certificate) -> None:
    write_json(path.with_name(f"{path.stem}.{CONVERSION}"), _conversion(export, certificate))


def _conversion(export: Export, certificate: Certificate) -> dict[str, Any]:
    return {"certificate": certificate.to_json(), "notes": list(export.notes), "snippet": export.snippet}
