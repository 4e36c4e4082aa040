"""From a checkpoint file to a network with its certificate, or to a converted file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from transfer.backbones.building import Backbone, build_backbone, trunk_shapes
from transfer.checkpoints.containers import read_safetensors
from transfer.checkpoints.contents import Contents, contents_of, refuse_mixed_wrappers
from transfer.checkpoints.family import Family, Plan, Twin
from transfer.checkpoints.identification import plan_for
from transfer.checkpoints.inference.spec import infer_spec
from transfer.checkpoints.matching import Matched, match
from transfer.checkpoints.reading import read_checkpoint
from transfer.checkpoints.rules import Renamed, apply_rules
from transfer.errors import UnreadableCheckpoint, WeightMismatch
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
    converted = _convert(path, family, which)
    return _built(converted), converted.certificate


def inspect_checkpoint(path: str | Path, family: str | None = None, *, which: str | None = None) -> Certificate:
    """The certificate that `load_backbone` would return, without building the network."""
    return _convert(path, family, which).certificate


def convert_checkpoint(
    path: str | Path, output: Path, family: str | None = None, *, which: str | None = None
) -> Certificate:
    """Write the trunk under canonical names as safetensors, the certificate in its metadata, whole or not at all."""
    converted = _convert(path, family, which)
    state = {name: tensor.contiguous() for name, tensor in _built(converted).trunk.state_dict().items()}
    with replacing(output) as temporary:
        save_file(state, temporary, metadata={CERTIFICATE: json.dumps(converted.certificate.to_json())})
    return converted.certificate


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


@dataclass(frozen=True)
class _Converted:
    state: Mapping[str, Tensor]
    certificate: Certificate


def _convert(path: str | Path, family: str | None, which: str | None) -> _Converted:
    contents = contents_of(read_checkpoint(path))
    chosen, plan = plan_for(contents, family, which)
    refuse_mixed_wrappers(plan.branch, contents.raw.path.name)
    renamed = apply_rules(plan.branch.tensors, plan.rules)
    spec = infer_spec({name: tuple(source.tensor.shape) for name, source in renamed.kept.items()}, plan)
    title = f"{contents.raw.path.name} → {spec.arch}"
    matched = match(trunk_shapes(spec), renamed, plan.may_init, title=title, family=chosen.name)
    for twin in plan.twins:
        _refuse_different_twin(renamed, twin, title)
    return _Converted(matched.state, _certify(contents, chosen, plan, spec, renamed, matched))


def _refuse_different_twin(renamed: Renamed, twin: Twin, title: str) -> None:
    """A copy with other names means that whole blocks of one network stand in the other."""
    other = apply_rules(twin.tensors, twin.rules)
    here, there = set(renamed.kept), set(other.kept)
    if here != there:
        lines = [f"  - {name}" for name in sorted(there - here)[:20]] + [f"  + {n}" for n in sorted(here - there)[:20]]
        raise WeightMismatch(
            f"{title}: {twin.label} should be a copy of the network, but has {len(there - here)} tensors that it lacks "
            f"and lacks {len(here - there)} that it has:\n" + "\n".join(lines) + "\nThe file mixes two networks."
        )


def _certify(
    contents: Contents, family: Family, plan: Plan, spec: BackboneSpec, renamed: Renamed, matched: Matched
) -> Certificate:
    others = {
        path: f"another part of the file: {plan.which} was chosen"
        for path in contents.branches
        if path != plan.branch.path
    }
    return Certificate(
        family=family.name,
        arch=spec.arch,
        which=plan.which,
        coverage=matched.coverage,
        input=_complete(plan.input, spec),
        dropped={**renamed.dropped, **{path or "(root)": reason for path, reason in others.items()}},
        initialised=matched.initialised,
        resized={},
        warnings=(*contents.warnings, *plan.warnings, *matched.warnings),
        backbone=spec,
        checkpoint=contents.raw.path.name,
        sha256=file_sha256(contents.raw.path),
    )


def _complete(contract: InputContract, spec: BackboneSpec) -> InputContract:
    image = spec.options.get("image")
    return replace(contract, size=(image[0], image[1]) if image else None, patch=spec.options.get("patch"))


def _built(converted: _Converted) -> Backbone:
    """Build the network and fill it; what the certificate lists as initialised keeps its initial value."""
    backbone = build_backbone(converted.certificate.backbone)
    initial = backbone.trunk.state_dict()
    kept = {name: initial[name] for name in converted.certificate.initialised}
    backbone.trunk.load_state_dict({**kept, **converted.state}, strict=True)
    return backbone.eval()
