"""Export to timm: a folder for `timm.create_model("local-dir:...", pretrained=True, num_classes=0)`, loaded strictly.

Its networks are built from a registered name and keyword arguments that JSON can hold. Names are tried in turn: the
first whose network has the same tensors and epsilons is written down, so that no version of timm is taken on trust.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from transfer.checkpoints.export.files import write_folder
from transfer.checkpoints.export.library import ConvertedBackbone, Export, Library, initial_norm
from transfer.checkpoints.export.properties import complete, refusal
from transfer.checkpoints.export.statistics import scaled_range_note, seeing_rgb, unit_statistics
from transfer.checkpoints.export.timm_builders import BUILDERS, Builder, BuilderSpec
from transfer.checkpoints.families.shared.timm_networks import outline_by_timm

HEAD_NORM = r"(head\.norm|fc_norm)\.(weight|bias)"
"""What timm keeps of a classifier without classes: a norm after the pooling."""


def _export(builder: Builder, backbone: ConvertedBackbone, output: Path) -> Export:
    backbone, built = builder(seeing_rgb(backbone.noting(*scaled_range_note(backbone.input))))
    arch, args, target = _chosen(backbone, built)
    new = {name.rpartition(".")[0] for name in target if name not in backbone.values}
    tensors = dict(backbone.values)
    for norm in sorted(new):
        tensors |= initial_norm(norm, target[f"{norm}.weight"].numel())
        backbone = backbone.noting(f"{norm}: a new norm at its initial value, with which timm's classifier begins")
    files = {"config.json": _config(backbone, built, arch, args)}
    return Export({name: tensors[name] for name in target}, _snippet(output), backbone.notes, files)


def _config(backbone: ConvertedBackbone, built: BuilderSpec, arch: str, args: Mapping[str, Any]) -> dict[str, Any]:
    mean, std = unit_statistics(backbone.input)
    stem = next(name for name, value in backbone.values.items() if len(value.shape) == 4)
    pretrained = {
        "input_size": [3, *built.image],
        "fixed_input_size": built.fixed,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "mean": list(mean),
        "std": list(std),
        # timm is strict only towards a file with as many classes as the network
        "num_classes": 0,
        "classifier": built.classifier,
        "first_conv": stem.removesuffix(".weight"),
    }
    config = {"architecture": arch, "num_classes": 0, "pretrained_cfg": pretrained}
    return config | ({"model_args": dict(args)} if args else {})


def _snippet(output: Path) -> str:
    return f"""\
import timm

model = timm.create_model("local-dir:{output}", pretrained=True, num_classes=0).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))"""


def _chosen(backbone: ConvertedBackbone, built: BuilderSpec) -> tuple[str, Mapping[str, Any], dict[str, Tensor]]:
    """Return the first name whose network is the backbone, the arguments that it needs, and its tensors.

    Raises Inexpressible with what each differs in.
    """
    own = [backbone.spec.arch] if timm.is_model(backbone.spec.arch) else []
    reasons = []
    for arch in dict.fromkeys([*own, *built.names]):
        network = outline_by_timm(arch, built.args)
        if network is None:
            reasons.append(f"{arch} does not take the arguments {', '.join(built.args)}")
            continue
        if difference := _difference(network, backbone):
            reasons.append(f"{arch} {difference}")
            continue
        by_name = arch in own and _settings(outline_by_timm(arch, {})) == _settings(network)
        return arch, {} if by_name else built.args, dict(network.state_dict())
    raise refusal(backbone.spec, f"timm {timm.__version__}", reasons)


def _difference(network: nn.Module, backbone: ConvertedBackbone) -> str:
    theirs = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    ours = {name: value.shape for name, value in backbone.values.items()}
    differing = sorted(n for n in theirs | ours if theirs.get(n) != ours.get(n) and not re.fullmatch(HEAD_NORM, n))
    if differing:
        return "has " + ", ".join(
            f"{n} {theirs.get(n, 'absent')} instead of {ours.get(n, 'none')}" for n in differing[:4]
        )
    norms = (m for m in network.modules() if isinstance(m, nn.LayerNorm | nn.BatchNorm2d | nn.GroupNorm))
    other = {norm.eps for norm in norms} - {complete(backbone.spec)["eps"]}
    return f"norms with epsilon {', '.join(f'{eps:g}' for eps in sorted(other))}" if other else ""


def _settings(network: nn.Module | None) -> dict[str, Any]:
    """Return the settings that modules hold: strides, epsilons, numbers of heads, shifts."""
    simple = (bool, int, float, str, tuple, type(None))
    return {
        name: (type(module), {key: value for key, value in vars(module).items() if isinstance(value, simple)})
        for name, module in (network.named_modules() if network is not None else ())
    }


TIMM = Library("timm", {kind: partial(_export, builder) for kind, builder in BUILDERS.items()}, write_folder)
