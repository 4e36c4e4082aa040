"""Infer the canonical network of a file from its shapes, and check it against what the file says about itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from transfer.backbones.architectures import comparable, name_of
from transfer.checkpoints.inference.beit import infer_beit
from transfer.checkpoints.inference.convnext import infer_convnext
from transfer.checkpoints.inference.dinov3 import infer_dinov3
from transfer.checkpoints.inference.resnet import infer_resnet, infer_wide_resnet
from transfer.checkpoints.inference.resnetv2 import infer_resnetv2
from transfer.checkpoints.inference.swin import infer_swin
from transfer.checkpoints.inference.vit import infer_vit
from transfer.checkpoints.inference.votes import Shapes
from transfer.checkpoints.keys.family import Plan
from transfer.errors import WeightMismatch
from transfer.schemas.checkpoint import BackboneSpec

FROM_SHAPES: Mapping[str, Callable[[Shapes], dict[str, Any]]] = {
    "resnetv2": infer_resnetv2,
    "wide_resnet": infer_wide_resnet,
    "convnext": infer_convnext,
    "dinov3": infer_dinov3,
    "swin": infer_swin,
}
"""Network kinds whose options follow from shapes alone."""

STRUCTURE = (
    *("block", "depths", "widths", "groups", "base_width", "stem", "response_norm", "norm", "units"),
    *("dim", "depth", "heads", "patch", "window"),
)
"""Options that a name such as resnet50 decides; image size and interpolation may differ."""


def infer_spec(shapes: Shapes, plan: Plan) -> BackboneSpec:
    """Return the network that these canonical names and shapes belong to. Raises WeightMismatch for a contradiction."""
    claimed = comparable(plan.arch) if plan.arch else None
    spec = _spec(shapes, plan, claimed)
    if claimed is not None:
        _refuse_contradiction(spec, claimed, plan)
    _refuse_lost_registers(spec, plan)
    return spec


def _spec(shapes: Shapes, plan: Plan, claimed: BackboneSpec | None) -> BackboneSpec:
    said = {**_options(shapes, plan, claimed), **plan.options}
    options = {key: value for key, value in said.items() if value is not None}
    return BackboneSpec(plan.kind, name_of(plan.kind, options), options)


def _options(shapes: Shapes, plan: Plan, claimed: BackboneSpec | None) -> dict[str, Any]:
    if plan.kind == "resnet":
        return infer_resnet(shapes, plan.options.get("stem"))
    if plan.kind in FROM_SHAPES:
        return FROM_SHAPES[plan.kind](shapes)
    if plan.kind == "beit":
        return infer_beit(shapes, plan.heads)
    heads = plan.heads or (claimed.options.get("heads") if claimed is not None and claimed.kind == "vit" else None)
    return infer_vit(shapes, heads, plan.image)


def _refuse_contradiction(spec: BackboneSpec, claimed: BackboneSpec, plan: Plan) -> None:
    differences = [
        f"{key} {spec.options.get(key, 'usual')} instead of {claimed.options.get(key, 'usual')}"
        for key in STRUCTURE
        if key not in plan.options and spec.options.get(key) != claimed.options.get(key)
    ]
    if spec.kind != claimed.kind or differences:
        raise WeightMismatch(
            f"the file says that it holds {plan.arch}, but its tensors in {plan.state_dict.where} are those of "
            f"{spec.arch}: {'; '.join(differences) or f'a {spec.kind}, not a {claimed.kind}'}. Part of the network is "
            "missing, or the file was put together from two."
        )


def _refuse_lost_registers(spec: BackboneSpec, plan: Plan) -> None:
    """Raise WeightMismatch for lost registers: without that tensor the rest is a network, but for the claimed name."""
    named = re.search(r"_reg(\d+)", plan.arch or "")
    if named and spec.kind == "vit" and spec.options.get("registers", 0) != int(named[1]):
        raise WeightMismatch(
            f"the file says that it holds {plan.arch}, but has {spec.options.get('registers', 0)} register tokens:\n"
            f"  - reg_token   (1, {named[1]}, {spec.options['dim']})\nPart of the network is missing."
        )
