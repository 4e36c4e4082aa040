"""Load a checkpoint file as a network with its certificate, or convert it to a file of canonical names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from transfer.backbones.building import Backbone, build_backbone
from transfer.checkpoints.certificate.certify import certify
from transfer.checkpoints.certificate.health import examine, stored_transposed
from transfer.checkpoints.certificate.other_weights import compare_with
from transfer.checkpoints.certificate.probe import judge, norms_of
from transfer.checkpoints.identification.filling import UNSAID, Choice, Filled, fill_from
from transfer.checkpoints.keys.contents import Contents, contents_of
from transfer.checkpoints.keys.matching import match
from transfer.checkpoints.keys.rules import apply_rules
from transfer.checkpoints.keys.values import Value
from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.checkpoints.reading.containers.safetensors import read_safetensors
from transfer.checkpoints.writing import Entry, replace_metadata, write_safetensors
from transfer.errors import UnreadableCheckpoint
from transfer.files.atomic import replacing
from transfer.files.fingerprint import file_sha256, text_sha256
from transfer.schemas.checkpoint import Certificate

CERTIFICATE = "certificate"
"""Key of the certificate in a converted file's metadata."""

PENDING = "0" * 64
"""Stands for a hash that is still being computed."""


def load_backbone(
    path: str | Path,
    family: str | None = None,
    *,
    which: str | None = None,
    arch: str | None = None,
    rules: str | Path | None = None,
) -> tuple[Backbone, Certificate]:
    """Return the network in a checkpoint file, in evaluation mode, and the certificate of its conversion.

    `family` overrides identification; `which` chooses among a file's weights (teacher, student, ema, query, ...);
    `arch` says which architecture it must be; `rules` is a TOML file of renaming rules that takes a family's place.
    Raises a CheckpointError unless every tensor of the backbone is accounted for.
    """
    choice = Choice(family, which, arch, None if rules is None else Path(rules))
    certificate, filled = certified(path, choice)
    return _built(filled), certificate


def inspect_checkpoint(path: str | Path, choice: Choice = UNSAID) -> Certificate:
    """Return the certificate that `load_backbone` would return, without building the network."""
    return certified(path, choice)[0]


def convert_checkpoint(path: str | Path, output: Path, choice: Choice = UNSAID) -> Certificate:
    """Write the backbone under canonical names as safetensors, atomically, with the certificate in its metadata.

    One tensor at a time is in memory.
    """
    contents = contents_of(read_checkpoint(path))
    with _hashing(contents) as digest:
        draft, filled = _examined(contents, choice)
        entries = {name: Entry(value.shape, value.dtype, value.load) for name, value in backbone_values(filled).items()}
        with replacing(output) as temporary:
            write_safetensors(temporary, entries, _metadata(draft))
            certificate = replace(draft, sha256=digest.result())
            replace_metadata(temporary, _metadata(certificate))
    return certificate


def _metadata(certificate: Certificate) -> dict[str, str]:
    return {CERTIFICATE: json.dumps(certificate.to_json())}


def load_converted(path: Path) -> Backbone:
    """Return the network in a converted file, in evaluation mode."""
    backbone = build_backbone(read_certificate(path).backbone)
    fill_backbone(backbone, path)
    return backbone.eval()


def fill_backbone(backbone: Backbone, path: Path) -> None:
    """Copy a converted file's tensors into `backbone`: all of them and nothing else, or WeightMismatch."""
    state, metadata = _read_converted(path)
    target = backbone.network.state_dict()
    certificate = _certificate(path, metadata)
    match(target, apply_rules(state, ()), (), title=f"{path.name} → {backbone.spec.arch}", family=certificate.family)
    backbone.network.load_state_dict(state, strict=True)


def read_certificate(path: Path) -> Certificate:
    """Read the certificate in a converted file."""
    return _certificate(path, _read_converted(path)[1])


def _read_converted(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return read_safetensors(path)
    except (OSError, SafetensorError) as error:
        raise UnreadableCheckpoint(
            f"{path} should be a converted checkpoint, but cannot be read ({error}). Convert the checkpoint again: "
            "transfer convert CHECKPOINT -o backbone.safetensors."
        ) from error


def _certificate(path: Path, metadata: Mapping[str, str]) -> Certificate:
    if CERTIFICATE not in metadata:
        raise UnreadableCheckpoint(
            f"{path} is no converted checkpoint: it carries no certificate. Convert it first: transfer convert {path} "
            "-o backbone.safetensors."
        )
    return Certificate.from_json(json.loads(metadata[CERTIFICATE]))


def certified(path: str | Path, choice: Choice) -> tuple[Certificate, Filled]:
    """Read, fill and examine a file, without building the network."""
    contents = contents_of(read_checkpoint(path))
    with _hashing(contents) as digest:
        draft, filled = _examined(contents, choice)
        return replace(draft, sha256=digest.result()), filled


@contextmanager
def _hashing(contents: Contents) -> Iterator[Future[str]]:
    """Hash the file in another thread while the caller works."""
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit(_digest, contents)


def _examined(contents: Contents, choice: Choice) -> tuple[Certificate, Filled]:
    """Return the certificate but for the file's hash, and the backbone that it is about."""
    filled = fill_from(contents, choice)
    health = _health(filled, f"{contents.raw.path.name} → {filled.spec.arch}")
    verdict = judge(_viewed(filled), filled.plan.input)
    return certify(contents, filled, health, verdict, PENDING), filled


def _health(filled: Filled, title: str) -> dict[str, str]:
    """Collect what is suspicious about the values, their order in memory, and next to the other weights."""
    findings = examine(filled.matched, title) | stored_transposed(filled.plan.state_dict.tensors)
    for label, other in filled.plan.other_weights.items():
        findings |= compare_with(label, other, filled.matched)
    return findings


def _viewed(filled: Filled) -> nn.Module:
    """Return the backbone over the file's own memory if it has batch norms to be judged by; else its outline."""
    network = filled.outline.network
    if norms_of(network):
        initial = _initial(filled)
        state = {name: initial[name] if name in initial else filled.matched.load(name) for name in network.state_dict()}
        network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def _digest(contents: Contents) -> str:
    """Hash the file's bytes; if several files hold the weights, the list of their digests as `sha256sum` prints it."""
    files = contents.raw.files or (contents.raw.path,)
    if len(files) == 1:
        return file_sha256(files[0])
    return text_sha256("".join(f"{file_sha256(file)}  {file.name}\n" for file in files))


def backbone_values(filled: Filled) -> dict[str, Value]:
    """Return the backbone's tensors in its order, not read yet; initialised ones come from a fresh network."""
    initial = _initial(filled)
    return {
        name: Value(
            tuple(outline.shape),
            outline.dtype,
            partial(initial.__getitem__, name) if name in initial else partial(filled.matched.load, name),
        )
        for name, outline in filled.outline.network.state_dict().items()
    }


def _initial(filled: Filled) -> dict[str, Tensor]:
    """Return the tensors that the certificate lists as initialised."""
    if not filled.matched.initialised:
        return {}
    state = build_backbone(filled.spec).network.state_dict()
    return {name: state[name] for name in filled.matched.initialised}


def _built(filled: Filled) -> Backbone:
    """Build the network in memory of its own."""
    backbone = build_backbone(filled.spec)
    with torch.no_grad():
        for name, tensor in backbone.network.state_dict().items():
            if name not in filled.matched.initialised:
                tensor.copy_(filled.matched.load(name))
    return backbone.eval()
