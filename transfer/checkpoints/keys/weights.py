"""The networks in a file, each a state dict and a prefix, and how their names lead to canonical ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer.checkpoints.keys.contents import Contents, StateDict
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

WRAPPED = (
    "the names in {where} stood inside of {wrapper}, which parallel training, compilation or a module that "
    "holds the network put there: it was taken off."
)


@dataclass(frozen=True)
class Weights:
    """One of a file's networks (teacher, student, moving average, ...): a state dict, and the `prefix` of its names.

    `rest` are rules, by names with the prefix, that drop what else the state dict holds (projection heads, queues,
    other networks), or put a stray tensor under the prefix. `renaming` leads from names without prefix to canonical
    ones.
    """

    state_dict: StateDict
    prefix: str = ""
    rest: tuple[Rule, ...] = ()
    renaming: tuple[Rule, ...] = ()

    @property
    def names(self) -> list[str]:
        """The network's names without prefix."""
        return names_under(self.state_dict, self.prefix)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules for the state dict: drop counters and the rest, remove the prefix, rename."""
        tensors = self.state_dict.tensors
        counters = [name for name in COUNTERS if name in tensors and not tensors[name].ndim]
        counted = (Drop("|".join(counters), "counter of a moving average"),) if counters else ()
        prefix = (RemovePrefix(self.prefix),) if self.prefix else ()
        return (*counted, *self.rest, *prefix, *self.renaming)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning about the wrappers of its names, where bare names alone tell whose network it is."""
        wrapper = ", ".join(part for part in (self.state_dict.wrapper, *self.state_dict.inner) if part)
        if not wrapper or self.prefix:
            return ()
        return (WRAPPED.format(where=self.state_dict.where, wrapper=wrapper),)

    def key_mapping(self) -> KeyMapping | None:
        """Return the key mapping of its layout, None if it has none of the shared layouts."""
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
    """Return the key mapping of a shared layout for these `names`."""
    names = list(names)
    allowed_missing = legacy_batchnorm(names) if layout == RESNET else ()
    pooled = layout in (VIT, BEIT) and "fc_norm.weight" in names and not {"norm.weight", "norm.bias"} & set(names)
    options = {"final_norm": False} if pooled else {}
    return KeyMapping(layout.kind, canonical_rules(names, layout), allowed_missing, options)


def networks_under(
    state_dict: StateDict, prefixes: Mapping[str, str], rest: tuple[Rule, ...] = ()
) -> dict[str, Weights]:
    """Return the networks that a state dict holds under `prefixes`, by name: for each, the others are dropped."""
    return {
        label: Weights(state_dict, prefix, (*rest, *_without_others(prefixes, label)))
        for label, prefix in prefixes.items()
    }


def _without_others(prefixes: Mapping[str, str], chosen: str) -> tuple[Rule, ...]:
    others = (label for label in prefixes if label != chosen)
    return tuple(
        Drop(re.escape(prefixes[label]) + ".*", f"{label} network: the {chosen} network was chosen") for label in others
    )


def with_average(model: Weights, contents: Contents) -> dict[str, Weights]:
    """Return the network as `model`, and its moving average, if the file has one, as `ema`.

    An average of parameters alone lacks the batch norms' statistics and is no network.
    """
    if is_average(model.state_dict.path):
        return {"ema": model}
    whole = (average for average in averages(contents) if not _lacks_buffers(average, model.state_dict))
    average = next(whole, None)
    if average is None:
        return {"model": model}
    return {"model": model, "ema": Weights(average, model.prefix, model.rest)}


def _lacks_buffers(average: StateDict, model: StateDict) -> bool:
    def buffers(state_dict: StateDict) -> bool:
        return any(name.endswith("running_mean") for name in state_dict.tensors)

    return buffers(model) and not buffers(average)
