"""How most files are taken apart: one or several copies of a network, each under a prefix of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import OtherWeights, Plan, choose
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
from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Drop, RemovePrefix, Rule
from transfer.checkpoints.keys.wrappers import COUNTERS
from transfer.schemas.checkpoint import InputContract

POOLED = "the network was fine-tuned with fc_norm after its pooling in place of a final norm: the backbone ends without norm."
WRAPPED = (
    "the names in {where} stood inside of {around}, which parallel training, compilation or a module around the "
    "network put there: it was taken off."
)


@dataclass(frozen=True)
class Weights:
    """A network in a file: the state dict that holds it, and the `prefix` of its names there.

    `beside` drops what stands in the state dict beside the network (projection heads, queues, the other copy), or puts
    a stray tensor under the prefix, by names with the prefix.
    """

    state_dict: StateDict
    prefix: str = ""
    beside: tuple[Rule, ...] = ()

    @property
    def names(self) -> list[str]:
        """Its names without prefix."""
        return names_under(self.state_dict, self.prefix)

    @property
    def strip(self) -> tuple[Rule, ...]:
        """Rules that leave the network's names without prefix: counters and what is beside it go first."""
        counters = [
            name for name in COUNTERS if name in self.state_dict.tensors and not self.state_dict.tensors[name].ndim
        ]
        counted = (Drop("|".join(counters), "counter of a moving average"),) if counters else ()
        return (*counted, *self.beside, *((RemovePrefix(self.prefix),) if self.prefix else ()))

    @property
    def wrapped(self) -> tuple[str, ...]:
        """A warning about what was around its names, if they alone tell whose it is."""
        around = ", ".join(part for part in (self.state_dict.wrapper, *self.state_dict.inner) if part)
        return (WRAPPED.format(where=self.state_dict.where, around=around),) if around and not self.prefix else ()

    def key_mapping(self) -> KeyMapping | None:
        """How it is named, if that is one of the shared layouts."""
        layout = layout_of(self.names)
        return None if layout is None else key_mapping_of(self.names, layout)


@dataclass(frozen=True)
class KeyMapping:
    """Rules from names without prefix to the canonical ones of a `kind` of network, and options that the names show."""

    kind: str
    rules: tuple[Rule, ...]
    allowed_missing: tuple[AllowedMissing, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def key_mapping_of(names: Iterable[str], layout: Layout) -> KeyMapping:
    """A shared layout's naming."""
    names = list(names)
    allowed_missing = legacy_batchnorm(names) if layout == RESNET else ()
    pooled = layout in (VIT, BEIT) and "fc_norm.weight" in names and not {"norm.weight", "norm.bias"} & set(names)
    options = {"final_norm": False} if pooled else {}
    return KeyMapping(layout.kind, canonical_rules(names, layout), allowed_missing, options)


@dataclass(frozen=True)
class FamilyDefaults:
    """What a family knows about its networks that names do not say: see `Plan` for each."""

    input: InputContract
    options: Mapping[str, Any] = field(default_factory=dict)
    arch: str | None = None
    heads: int | None = None
    image: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()


def plan_weights(
    contents: Contents,
    all_weights: Mapping[str, Weights],
    which: str | None,
    defaults: FamilyDefaults,
    own: KeyMapping | None = None,
) -> Plan | None:
    """Take the copy called `which` (or the first) apart; the others must be alike in names.

    `own` is the family's way of naming, by default that of the copy's layout. None if the copy has no layout that is
    known here. Raises UnknownName for a copy that the file does not have.
    """
    chosen = choose(which, tuple(all_weights))
    weights = all_weights[chosen]
    key_mapping = own or next((found for one in (weights, *all_weights.values()) if (found := one.key_mapping())), None)
    if key_mapping is None:
        return None
    return Plan(
        which=chosen,
        kind=key_mapping.kind,
        state_dict=weights.state_dict,
        rules=(*weights.strip, *key_mapping.rules),
        input=defaults.input,
        allowed_missing=key_mapping.allowed_missing,
        options={**key_mapping.options, **defaults.options},
        arch=defaults.arch or contents.arch,
        heads=defaults.heads,
        image=defaults.image,
        other_weights=tuple(
            OtherWeights(f"the {label}", other.state_dict.tensors, (*other.strip, *key_mapping.rules))
            for label, other in all_weights.items()
            if label != chosen
        ),
        warnings=(
            *defaults.warnings,
            *weights.wrapped,
            *(() if key_mapping.options.get("final_norm", True) else (POOLED,)),
        ),
    )


def with_average(model: Weights, contents: Contents) -> dict[str, Weights]:
    """The network as `model`, and its moving average, if the file has one, as `ema`.

    An average of parameters alone lacks the batch norms' statistics and is no network.
    """
    if is_average(model.state_dict.path):
        return {"ema": model}
    average = next(
        (state_dict for state_dict in averages(contents) if not _lacks_buffers(state_dict, model.state_dict)), None
    )
    return (
        {"model": model} if average is None else {"model": model, "ema": Weights(average, model.prefix, model.beside)}
    )


def _lacks_buffers(average: StateDict, model: StateDict) -> bool:
    def buffers(state_dict: StateDict) -> bool:
        return any(name.endswith("running_mean") for name in state_dict.tensors)

    return buffers(model) and not buffers(average)
