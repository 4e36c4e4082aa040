"""Fill a canonical network from a file's contents, or raise an error that names what does not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from transfer.backbones.architectures import spec_of
from transfer.backbones.building import Backbone, outline_of
from transfer.checkpoints.identification.identify import plan_for
from transfer.checkpoints.identification.user_rules import plan_by_rules
from transfer.checkpoints.inference.spec import infer_spec
from transfer.checkpoints.keys.contents import Contents, refuse_mixed_wrappers
from transfer.checkpoints.keys.family import Plan
from transfer.checkpoints.keys.matching import BY_RULES, Matched, match
from transfer.checkpoints.keys.rules import Renamed, apply_rules
from transfer.checkpoints.keys.weights import Weights
from transfer.errors import WeightMismatch
from transfer.schemas.checkpoint import BackboneSpec

SHOWN = 20


@dataclass(frozen=True)
class Choice:
    """The user's word where a file's names do not decide: see `transfer inspect --help`.

    `rules` is a file of the user's own renaming rules, which takes the place of a family.
    """

    family: str | None = None
    which: str | None = None
    arch: str | None = None
    rules: Path | None = None


UNSAID = Choice()
"""The choice of a user who leaves everything to the file."""


@dataclass(frozen=True)
class Filled:
    """A network of which every tensor is accounted for, and how it was; `outline` is the network without storage."""

    family: str
    plan: Plan
    outline: Backbone
    renamed: Renamed
    matched: Matched

    @property
    def spec(self) -> BackboneSpec:
        """The canonical network."""
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
    for label, other in plan.other_weights.items():
        _refuse_different_names(renamed, label, other, title)
    return Filled(family, plan, outline, renamed, matched)


def _family_and_plan(contents: Contents, choice: Choice) -> tuple[str, Plan]:
    if choice.rules is not None:
        return f"{BY_RULES}{choice.rules.name}", plan_by_rules(contents, choice.rules)
    family, plan = plan_for(contents, choice.family, choice.which)
    if choice.arch is not None:
        named = spec_of(choice.arch)
        plan = replace(plan, arch=named.arch, heads=named.options.get("heads", plan.heads))
    return family.name, plan


def _refuse_different_names(renamed: Renamed, label: str, other: Weights, title: str) -> None:
    """Raise WeightMismatch for other weights with other names: blocks of one network were put into the other."""
    theirs, ours = set(apply_rules(other.state_dict.tensors, other.rules).sources), set(renamed.sources)
    lacks, extra = sorted(theirs - ours), sorted(ours - theirs)
    if lacks or extra:
        lines = [f"  - {name}" for name in lacks[:SHOWN]] + [f"  + {name}" for name in extra[:SHOWN]]
        raise WeightMismatch(
            f"{title}: the {label} should be the same network with other weights, but has {len(lacks)} tensors that "
            f"it lacks and lacks {len(extra)} that it has:\n"
            + "\n".join(lines)
            + "\nThe file mixes two networks, or one of them is incomplete: keep one network's weights only."
        )
