"""Small checkpoints of every container, well-formed and poisoned, for mutation."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed.checkpoint as distributed
import torchvision
from safetensors.torch import save
from torch import nn

POISONS = (
    b"cos\nsystem\n\x8c\x04true\x85R",
    b"cbuiltins\neval\n\x8c\x011\x85R",
    b"\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R",
    b"(S'true'\nios\nsystem\n",
    b"(csubprocess\nPopen\n\x8c\x04trueo",
    b"cbuiltins\ngetattr\ncbuiltins\ndict\n\x8c\x05clear\x86R",
    b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN\x8c\x04true\x85}tR",
    b"cfuzzed.module\nThing\n)\x81}\x8c\x01acos\nsystem\nsb",
)
"""Values in the middle of a pickle that would run something elsewhere."""

DOUBLED = b"K\1\x85" + b"2\x86" * 100
"""A tuple that twice holds a tuple that twice holds ...: nobody may print, hash or compare it."""

WEIGHTS = OrderedDict(
    (f"{prefix}conv{i}.weight", torch.arange(24.0).reshape(2, 3, 2, 2) * i)
    for prefix in ("", "module.")
    for i in (1, 2)
)


def seeds(folder: Path) -> dict[str, bytes]:
    """Name → content of a file; `folder` is scratch."""
    made = {**_torch(), **_arrays(), "safetensors": save(dict(WEIGHTS), {"format": "pt"})}
    made["distributed plan"], made["distributed part"] = _distributed(folder)
    made["index"] = json.dumps({"weight_map": dict.fromkeys(WEIGHTS, "shard.safetensors")}).encode()
    return made | {f"value {k}": _with_value(value) for k, value in enumerate((*POISONS, DOUBLED))}


def _torch() -> dict[str, bytes]:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    steps = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3, 4, 4)).sum().backward()
    steps.step()
    trees = {
        "state": WEIGHTS,
        "training": {
            "epoch": 3, "state_dict": WEIGHTS, "optimizer": steps.state_dict(), "rng": torch.get_rng_state()[:64],
            "args": argparse.Namespace(arch="resnet50", lr=0.1, sizes=[1, 2]), "best": np.float64(0.5),
        },
        "network": network,
        "trunk": {"arch": "resnet18", "state_dict": _backbone("module.encoder_q."), "queue": torch.zeros(1)},
        "kinds": {
            "half": torch.ones(2).half(), "bfloat": torch.ones(2, dtype=torch.bfloat16), "scalar": torch.tensor(3),
            "expanded": torch.ones(1, 3).expand(2, 3), "float8": torch.ones(2).to(torch.float8_e4m3fn),
            "meta": torch.ones(2, device="meta"),
        },
    }  # fmt: skip
    zips = {f"zip {name}": _saved(tree, True) for name, tree in trees.items()}
    legacy = {f"legacy {name}": _saved(tree, False) for name, tree in trees.items()}
    return zips | legacy | {"repacked": _repacked(zips["zip state"]), "script": _script(zips["zip state"])}


def _backbone(prefix: str) -> dict[str, torch.Tensor]:
    """A whole network whose file is small: every tensor repeats one number."""
    with torch.device("meta"):
        state = torchvision.models.resnet18().state_dict()
    return {prefix + name: torch.zeros(1).expand(tensor.numel()).view(tensor.shape) for name, tensor in state.items()}


def _saved(tree: Any, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(tree, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def members(data: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each entry in a zip archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def zipped(entries: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def _repacked(data: bytes) -> bytes:
    return zipped(members(data), zipfile.ZIP_DEFLATED)


def _script(data: bytes) -> bytes:
    """As torch.jit.save lays it out: a module with attributes."""
    pickled = dict(members(data))["archive/data.pkl"]
    module = b"\x80\x02c__torch__.Net\nNet\n)\x81" + pickled[2:-1] + b"b."
    others = [(name, content) for name, content in members(data) if not name.endswith("data.pkl")]
    return zipped([("archive/data.pkl", module), *others, ("archive/constants.pkl", b"\x80\x02).")])


def _arrays() -> dict[str, bytes]:
    arrays = {name: tensor.numpy() for name, tensor in WEIGHTS.items()} | {
        "step": np.array(3),
        "big": np.arange(3, dtype=">f4"),
    }
    stored, packed, single = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(stored, **arrays)  # type: ignore[arg-type]
    np.savez_compressed(packed, **arrays, names=np.array([{"a": 1}], dtype=object))  # type: ignore[arg-type]
    np.save(single, {"weights": arrays})  # type: ignore[arg-type]
    files = {"npz": stored.getvalue(), "npz packed": packed.getvalue(), "npy": single.getvalue()}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        content = {"model": arrays, "__author__": "fuzz", "weight": WEIGHTS["conv1.weight"]}
        files[f"pickle {protocol}"] = pickle.dumps(content, protocol)
    return files


def _distributed(folder: Path) -> tuple[bytes, bytes]:
    distributed.save({"model": dict(WEIGHTS), "epoch": 3}, checkpoint_id=folder, no_dist=True)
    return (folder / ".metadata").read_bytes(), (folder / "__0_0.distcp").read_bytes()


def _with_value(pickled: bytes) -> bytes:
    return b"\x80\x04}\x8c\x04arch" + pickled + b"s."
