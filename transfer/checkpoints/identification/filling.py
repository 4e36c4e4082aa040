"""A file's contents → the canonical tensors of one of its networks, or an error that names what does not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from transfer.backbones.architectures import spec_of
from transfer.backbones.building import Backbone, outline_of
from transfer.checkpoints.identification.identify import plan_for
from transfer.checkpoints.identification.user_rules import plan_by_rules
from transfer.checkpoints.inference.spec import infer_spec
from transfer.checkpoints.keys.contents import Contents, refuse_mixed_wrappers
from transfer.checkpoints.keys.family import OtherWeights, Plan
from transfer.checkpoints.keys.matching import Matched, match
from transfer.checkpoints.keys.rules import Renamed, apply_rules
from transfer.errors import WeightMismatch
from transfer.schemas.checkpoint import BackboneSpec

SHOWN = 20


@dataclass(frozen=True)
class Choice:
    """What the user says about a file where its names do not: see `transfer inspect --help`.

    `rules` is a file of the user's own renaming rules, which takes the place of a family.
    """

    family: str | None = None
    which: str | None = None
    arch: str | None = None
    rules: Path | None = None


UNSAID = Choice()
"""The user says nothing: the file must say it all."""


@dataclass(frozen=True)
class Filled:
    """A network whose every tensor is accounted for, and how that came about; `outline` has no storage."""

    family: str
    plan: Plan
    outline: Backbone
    renamed: Renamed
    matched: Matched

    @property
    def spec(self) -> BackboneSpec:
        """The network."""
        return self.outline.spec


def fill_from(contents: Contents, choice: Choice = Choice()) -> Filled:
    """Identify, rename, infer the network and match exactly. Raises a CheckpointError or UnknownName."""
    family, plan = _family_and_plan(contents, choice)
    refuse_mixed_wrappers(plan.state_dict, contents.raw.path.name)
    renamed = apply_rules(plan.state_dict.tensors, plan.rules)
    spec = infer_spec(renamed.shapes, plan)
    title = f"{contents.raw.path.name} → {spec.arch}"
    outline = outline_of(spec)
    matched = match(outline.network.state_dict(), renamed, plan.allowed_missing, title=title, family=family)
    for other in plan.other_weights:
        _refuse_different_names(renamed, other, title)
    return Filled(family, plan, outline, renamed, matched)


def _family_and_plan(contents: Contents, choice: Choice) -> tuple[str, Plan]:
    if choice.rules is not None:
        return f"rules:{choice.rules.name}", plan_by_rules(contents, choice.rules)
    family, plan = plan_for(contents, choice.family, choice.which)
    if choice.arch is not None:
        named = spec_of(choice.arch)
        plan = replace(plan, arch=named.arch, heads=named.options.get("heads", plan.heads))
    return family.name, plan


def _refuse_different_names(renamed: Renamed, other: OtherWeights, title: str) -> None:
    """A copy with other names means that whole blocks of one network stand in the other."""
    theirs, ours = set(apply_rules(other.tensors, other.rules).kept), set(renamed.kept)
    lacks, extra = sorted(theirs - ours), sorted(ours - theirs)
    if lacks or extra:
        lines = [f"  - {name}" for name in lacks[:SHOWN]] + [f"  + {name}" for name in extra[:SHOWN]]
        raise WeightMismatch(
            f"{title}: {other.label} should be a copy of the network, but has {len(lacks)} tensors that it "
            f"lacks and lacks {len(extra)} that it has:\n"
            + "\n".join(lines)
            + "\nThe file mixes two networks, or one of them is incomplete: keep one network's weights only."
        )
