"""Checkpoint file → `backbone.safetensors` and `conversion.json`, or a control without weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.backbones.architectures import spec_of
from transfer.checkpoints.identification.filling import UNSAID, Choice
from transfer.checkpoints.loading import convert_checkpoint
from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.checkpoints.reading.tensorflow.checkpoint import find_tensorflow
from transfer.errors import UnreadableCheckpoint
from transfer.files.atomic import replacing, write_json
from transfer.files.fingerprint import file_sha256, fingerprint
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, Certificate, InputContract
from transfer.schemas.mapping import plain
from transfer.schemas.run import CONTROL

CONTROL_PREFIX = f"{CONTROL}:"

WEIGHTS = "backbone.safetensors"

CONVERSION = 2
"""Raise it when a rule changes what a file converts to: all files then convert anew."""


@dataclass(frozen=True)
class Origin:
    """Where a run's weights come from: a converted file, or a random initialisation (`weights` None)."""

    name: str
    sha256: str
    backbone: BackboneSpec
    input: InputContract
    weights: Path | None
    certificate: Mapping[str, Any] | None


def convert(checkpoint: str, work_dir: Path, choice: Choice = UNSAID) -> Origin:
    """Convert a checkpoint file once per content and choice; `random:<arch>` names the control."""
    if checkpoint.startswith(CONTROL_PREFIX):
        return _control(checkpoint.removeprefix(CONTROL_PREFIX))
    path = Path(checkpoint)
    if not path.exists() and find_tensorflow(path) is None:
        raise UnreadableCheckpoint(
            f"there is no file {path}. Give the path of a checkpoint, or {CONTROL_PREFIX}<architecture> "
            f"(for example {CONTROL_PREFIX}resnet50) for the randomly initialised control."
        )
    name = display_name(path)
    folder = work_dir / f"{name}-{_origin_hash(path, choice)}"
    certificate = _converted(path, folder, choice)
    return Origin(
        name,
        certificate.sha256,
        certificate.backbone,
        certificate.input,
        folder / WEIGHTS,
        certificate.to_json(),
    )


def display_name(path: Path) -> str:
    """File name without the endings of checkpoint files, safe for folders and links."""
    stem = re.sub(r"(\.(pth|pt|tar|ckpt|bin|pkl|npz|safetensors|torch))+$", "", path.resolve().name)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem)


def _converted(path: Path, folder: Path, choice: Choice) -> Certificate:
    report, weights, seal = (folder / name for name in ("conversion.json", WEIGHTS, f"{WEIGHTS}.sha256"))
    if report.exists() and _sealed(weights, seal):
        return Certificate.from_json(json.loads(report.read_text(encoding="utf-8")))
    certificate = convert_checkpoint(path, weights, choice)
    write_json(report, certificate.to_json())
    with replacing(seal) as temporary:
        temporary.write_text(_line(weights), encoding="utf-8")
    return certificate


def _sealed(weights: Path, seal: Path) -> bool:
    """Whether the weights are, byte by byte, those that the report was written for."""
    return weights.exists() and seal.exists() and seal.read_text(encoding="utf-8") == _line(weights)


def _line(weights: Path) -> str:
    """As `sha256sum` prints it, so that `sha256sum -c` checks it."""
    return f"{file_sha256(weights)}  {weights.name}\n"


def _origin_hash(path: Path, choice: Choice) -> str:
    """Content, the config beside it, choices and `CONVERSION`."""
    raw = read_checkpoint(path)
    rules = file_sha256(choice.rules) if choice.rules is not None and choice.rules.is_file() else None
    chosen = (choice.family, choice.which, choice.arch, rules)
    return fingerprint([*(file_sha256(file) for file in raw.files), plain(raw.config), *chosen, CONVERSION])[:8]


def _control(arch: str) -> Origin:
    contract = InputContract(IMAGENET_MEAN, IMAGENET_STD, source="control")
    return Origin(f"{CONTROL}-{arch}", CONTROL, spec_of(arch), contract, None, None)
