"""From a checkpoint file to a network with its certificate, or to a converted file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from transfer.backbones.building import Backbone, build_backbone
from transfer.checkpoints.containers import read_safetensors
from transfer.checkpoints.contents import Contents, contents_of
from transfer.checkpoints.filling import Filled, fill_from
from transfer.checkpoints.matching import match
from transfer.checkpoints.reading import read_checkpoint
from transfer.checkpoints.rules import apply_rules
from transfer.errors import UnreadableCheckpoint
from transfer.spec.checkpoint import BackboneSpec, Certificate, InputContract
from transfer.spec.files import replacing
from transfer.spec.fingerprint import file_sha256

CERTIFICATE = "certificate"
"""Key of the certificate in a converted file's metadata."""


def load_backbone(
    path: str | Path, family: str | None = None, *, which: str | None = None
) -> tuple[Backbone, Certificate]:
    """The network in a checkpoint file, in evaluation mode, and the certificate of its conversion.

    `family` overrides identification; `which` chooses among a file's copies (teacher, student, ema, query, ...).
    Raises a CheckpointError unless every tensor of the trunk is accounted for.
    """
    contents, filled = _filled(path, family, which)
    return _built(filled), _certify(contents, filled)


def inspect_checkpoint(path: str | Path, family: str | None = None, *, which: str | None = None) -> Certificate:
    """The certificate that `load_backbone` would return, without building the network."""
    return _certify(*_filled(path, family, which))


def convert_checkpoint(
    path: str | Path, output: Path, family: str | None = None, *, which: str | None = None
) -> Certificate:
    """Write the trunk under canonical names as safetensors, the certificate in its metadata, whole or not at all."""
    contents, filled = _filled(path, family, which)
    certificate = _certify(contents, filled)
    state = {name: tensor.contiguous() for name, tensor in _built(filled).trunk.state_dict().items()}
    with replacing(output) as temporary:
        save_file(state, temporary, metadata={CERTIFICATE: json.dumps(certificate.to_json())})
    return certificate


def load_converted(path: Path) -> Backbone:
    """The network in a converted file, in evaluation mode."""
    backbone = build_backbone(read_certificate(path).backbone)
    fill_backbone(backbone, path)
    return backbone.eval()


def fill_backbone(backbone: Backbone, path: Path) -> None:
    """Copy a converted file's tensors into `backbone`: all of them and nothing else, or WeightMismatch."""
    state, metadata = _read_converted(path)
    target = backbone.trunk.state_dict()
    certificate = _certificate(path, metadata)
    match(target, apply_rules(state, ()), (), title=f"{path.name} → {backbone.spec.arch}", family=certificate.family)
    backbone.trunk.load_state_dict(state, strict=True)


def read_certificate(path: Path) -> Certificate:
    """The certificate in a converted file."""
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


def _filled(path: str | Path, family: str | None, which: str | None) -> tuple[Contents, Filled]:
    contents = contents_of(read_checkpoint(path))
    return contents, fill_from(contents, family, which)


def _certify(contents: Contents, filled: Filled) -> Certificate:
    plan, matched = filled.plan, filled.matched
    others = (path for path in contents.branches if path != plan.branch.path)
    reason = f"another part of the file: {plan.which} was chosen"
    return Certificate(
        family=filled.family.name,
        arch=filled.spec.arch,
        which=plan.which,
        coverage=matched.coverage,
        input=_complete(plan.input, filled.spec),
        dropped={**filled.renamed.dropped, **{path or "(root)": reason for path in others}},
        initialised=matched.initialised,
        resized={},
        warnings=(*contents.warnings, *plan.warnings, *matched.warnings),
        backbone=filled.spec,
        checkpoint=contents.raw.path.name,
        sha256=file_sha256(contents.raw.path),
    )


def _complete(contract: InputContract, spec: BackboneSpec) -> InputContract:
    image = spec.options.get("image")
    return replace(contract, size=(image[0], image[1]) if image else None, patch=spec.options.get("patch"))


def _built(filled: Filled) -> Backbone:
    """Build the network and fill it; what the certificate lists as initialised keeps its initial value."""
    backbone = build_backbone(filled.spec)
    initial = backbone.trunk.state_dict()
    kept = {name: initial[name] for name in filled.matched.initialised}
    backbone.trunk.load_state_dict({**kept, **filled.matched.state}, strict=True)
    return backbone.eval()
