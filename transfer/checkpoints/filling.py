"""A file's contents → the canonical tensors of one of its networks, or an error that names what does not fit."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.backbones.building import trunk_shapes
from transfer.checkpoints.contents import Contents, refuse_mixed_wrappers
from transfer.checkpoints.family import Family, Plan, Twin
from transfer.checkpoints.identification import plan_for
from transfer.checkpoints.inference.spec import infer_spec
from transfer.checkpoints.matching import Matched, match
from transfer.checkpoints.rules import Renamed, apply_rules
from transfer.errors import WeightMismatch
from transfer.spec.checkpoint import BackboneSpec

SHOWN = 20


@dataclass(frozen=True)
class Filled:
    """A network whose every tensor is accounted for, and how that came about."""

    family: Family
    plan: Plan
    spec: BackboneSpec
    renamed: Renamed
    matched: Matched


def fill_from(contents: Contents, family: str | None = None, which: str | None = None) -> Filled:
    """Identify, rename, infer the network and match exactly. Raises a CheckpointError or UnknownName."""
    chosen, plan = plan_for(contents, family, which)
    refuse_mixed_wrappers(plan.branch, contents.raw.path.name)
    renamed = apply_rules(plan.branch.tensors, plan.rules)
    spec = infer_spec({name: tuple(source.tensor.shape) for name, source in renamed.kept.items()}, plan)
    title = f"{contents.raw.path.name} → {spec.arch}"
    matched = match(trunk_shapes(spec), renamed, plan.may_init, title=title, family=chosen.name)
    for twin in plan.twins:
        _refuse_different_twin(renamed, twin, title)
    return Filled(chosen, plan, spec, renamed, matched)


def _refuse_different_twin(renamed: Renamed, twin: Twin, title: str) -> None:
    """A copy with other names means that whole blocks of one network stand in the other."""
    other = apply_rules(twin.tensors, twin.rules)
    lacks, extra = sorted(set(other.kept) - set(renamed.kept)), sorted(set(renamed.kept) - set(other.kept))
    if lacks or extra:
        lines = [f"  - {name}" for name in lacks[:SHOWN]] + [f"  + {name}" for name in extra[:SHOWN]]
        raise WeightMismatch(
            f"{title}: {twin.label} should be a copy of the network, but has {len(lacks)} tensors that it "
            f"lacks and lacks {len(extra)} that it has:\n"
            + "\n".join(lines)
            + "\nThe file mixes two networks, or one of them is incomplete: keep one network's weights only."
        )
