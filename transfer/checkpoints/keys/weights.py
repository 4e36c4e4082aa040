"""How most files are taken apart: one or several copies of a network, each under a prefix of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Plan, Twin, choose
from transfer.checkpoints.keys.layouts import (
    BEIT,
    RESNET,
    VIT,
    Layout,
    averages,
    canonical_rules,
    is_average,
    layout_of,
    legacy_batchnorm,
    names_under,
)
from transfer.checkpoints.keys.matching import Excuse
from transfer.checkpoints.keys.rules import Drop, Rule, Strip
from transfer.checkpoints.keys.wrappers import COUNTERS
from transfer.schemas.checkpoint import InputContract

POOLED = (
    "the network was fine-tuned with fc_norm after its pooling in place of a final norm: the trunk ends without norm."
)
WRAPPED = (
    "the names in {where} stood inside of {around}, which parallel training, compilation or a module around the "
    "network put there: it was taken off."
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
        """Rules that leave the network's names without prefix: counters and what is beside it go first."""
        counters = [name for name in COUNTERS if name in self.branch.tensors and not self.branch.tensors[name].ndim]
        counted = (Drop("|".join(counters), "counter of a moving average"),) if counters else ()
        return (*counted, *self.beside, *((Strip(self.prefix),) if self.prefix else ()))

    @property
    def wrapped(self) -> tuple[str, ...]:
        """A warning about what was around its names, if they alone tell whose it is."""
        around = ", ".join(part for part in (self.branch.wrapper, *self.branch.inner) if part)
        return (WRAPPED.format(where=self.branch.where, around=around),) if around and not self.prefix else ()

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
    naming = own or next((found for one in (copy, *copies.values()) if (found := one.naming())), None)
    if naming is None:
        return None
    return Plan(
        which=chosen,
        kind=naming.kind,
        branch=copy.branch,
        rules=(*copy.strip, *naming.rules),
        input=traits.input,
        may_init=naming.may_init,
        options={**naming.options, **traits.options},
        arch=traits.arch or contents.arch,
        heads=traits.heads,
        image=traits.image,
        twins=tuple(
            Twin(f"the {label}", other.branch.tensors, (*other.strip, *naming.rules))
            for label, other in copies.items()
            if label != chosen
        ),
        warnings=(*traits.warnings, *copy.wrapped, *(() if naming.options.get("final_norm", True) else (POOLED,))),
    )


def with_average(model: Copy, contents: Contents) -> dict[str, Copy]:
    """The network as `model`, and its moving average, if the file has one, as `ema`.

    An average of parameters alone lacks the batch norms' statistics and is no network.
    """
    if is_average(model.branch.path):
        return {"ema": model}
    average = next((branch for branch in averages(contents) if not _lacks_buffers(branch, model.branch)), None)
    return {"model": model} if average is None else {"model": model, "ema": Copy(average, model.prefix, model.beside)}


def _lacks_buffers(average: Branch, model: Branch) -> bool:
    def buffers(branch: Branch) -> bool:
        return any(name.endswith("running_mean") for name in branch.tensors)

    return buffers(model) and not buffers(average)
