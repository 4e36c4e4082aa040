"""How most files are taken apart: one or several copies of a network, each under a prefix of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer.checkpoints.contents import Branch, Contents
from transfer.checkpoints.family import AVERAGES, Plan, Twin, choose
from transfer.checkpoints.layouts import (
    BEIT,
    RESNET,
    VIT,
    Layout,
    canonical_rules,
    layout_of,
    legacy_batchnorm,
    names_under,
)
from transfer.checkpoints.matching import Excuse
from transfer.checkpoints.rules import Rule, Strip
from transfer.spec.checkpoint import InputContract

POOLED = (
    "the network was fine-tuned with fc_norm after its pooling in place of a final norm: the trunk ends without norm."
)


@dataclass(frozen=True)
class Copy:
    """A network in a file: the state dict that holds it, and the `prefix` of its names there.

    `beside` drops what stands in the state dict beside the network (projection heads, queues, the other copy), or puts
    a stray tensor under the prefix, by names with the prefix.
    """

    branch: Branch
    prefix: str = ""
    beside: tuple[Rule, ...] = ()

    @property
    def names(self) -> list[str]:
        """Its names without prefix."""
        return names_under(self.branch, self.prefix)

    @property
    def strip(self) -> tuple[Rule, ...]:
        """The rule that takes the prefix away."""
        return (Strip(self.prefix),) if self.prefix else ()

    def naming(self) -> Naming | None:
        """How it is named, if that is one of the shared layouts."""
        layout = layout_of(self.names)
        return None if layout is None else naming_of(self.names, layout)


@dataclass(frozen=True)
class Naming:
    """Rules from names without prefix to the canonical ones of a `kind` of network, and options that the names show."""

    kind: str
    rules: tuple[Rule, ...]
    may_init: tuple[Excuse, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def naming_of(names: Iterable[str], layout: Layout) -> Naming:
    """A shared layout's naming."""
    names = list(names)
    may_init = legacy_batchnorm(names) if layout == RESNET else ()
    pooled = layout in (VIT, BEIT) and "fc_norm.weight" in names and not {"norm.weight", "norm.bias"} & set(names)
    options = {"final_norm": False} if pooled else {}
    return Naming(layout.kind, canonical_rules(names, layout), may_init, options)


@dataclass(frozen=True)
class Traits:
    """What a family knows about its networks that names do not say: see `Plan` for each."""

    input: InputContract
    options: Mapping[str, Any] = field(default_factory=dict)
    arch: str | None = None
    heads: int | None = None
    image: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()


def plan_copy(
    contents: Contents, copies: Mapping[str, Copy], which: str | None, traits: Traits, own: Naming | None = None
) -> Plan | None:
    """Take the copy called `which` (or the first) apart; the others must be alike in names.

    `own` is the family's way of naming, by default that of the copy's layout. None if the copy has no layout that is
    known here. Raises UnknownName for a copy that the file does not have.
    """
    chosen = choose(which, tuple(copies))
    copy = copies[chosen]
    naming = own or copy.naming()
    if naming is None:
        return None
    return Plan(
        which=chosen,
        kind=naming.kind,
        branch=copy.branch,
        rules=(*copy.beside, *copy.strip, *naming.rules),
        input=traits.input,
        may_init=naming.may_init,
        options={**naming.options, **traits.options},
        arch=traits.arch or contents.arch,
        heads=traits.heads,
        image=traits.image,
        twins=tuple(
            Twin(f"the {label}", other.branch.tensors, (*other.beside, *other.strip, *naming.rules))
            for label, other in copies.items()
            if label != chosen
        ),
        warnings=traits.warnings if naming.options.get("final_norm", True) else (*traits.warnings, POOLED),
    )


def with_average(model: Copy, contents: Contents) -> dict[str, Copy]:
    """The network as `model`, and its moving average, if the file has one, as `ema`."""
    average = next((contents.branches[path] for path in AVERAGES if path in contents.branches), None)
    return {"model": model} if average is None else {"model": model, "ema": Copy(average, model.prefix, model.beside)}
