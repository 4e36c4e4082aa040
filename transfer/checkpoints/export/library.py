"""The common form of exports: a backbone goes in, named tensors and the words that go with them come out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from transfer.checkpoints.keys.rules import Rule, apply_to_values
from transfer.checkpoints.keys.values import Value, stored
from transfer.errors import Inexpressible
from transfer.schemas.checkpoint import BackboneSpec, Certificate, InputContract


@dataclass(frozen=True)
class ConvertedBackbone:
    """A converted backbone: its network, what it was trained to see, and its tensors under canonical names.

    `notes` say what was done to the tensors on the way to another library.
    """

    spec: BackboneSpec
    input: InputContract
    values: Mapping[str, Value]
    notes: tuple[str, ...] = ()

    def with_values(self, values: Mapping[str, Value], *notes: str) -> ConvertedBackbone:
        """Return the same network with other tensors."""
        return replace(self, values=values, notes=(*self.notes, *notes))

    def noting(self, *notes: str) -> ConvertedBackbone:
        """Return a copy with additional notes."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True)
class Export:
    """The result for one library's user: tensors under its names, how to load them strictly, and what to know.

    `files` are JSON files next to the tensors, by name; only a library that loads folders has some.
    """

    tensors: Mapping[str, Value]
    snippet: str
    notes: tuple[str, ...] = ()
    files: Mapping[str, Any] = field(default_factory=dict)


Exporter = Callable[[ConvertedBackbone, Path], Export]
"""A pure function of a backbone and the place where the result will stand. Raises Inexpressible."""


@dataclass(frozen=True)
class Library:
    """A library that other people's code loads from.

    `kinds` maps a kind of network to its exporter; `write(path, export, certificate)` writes all files.
    """

    name: str
    kinds: Mapping[str, Exporter]
    write: Callable[[Path, Export, Certificate], None]


def named(values: Mapping[str, Value], rules: Sequence[Rule]) -> dict[str, Value]:
    """Return tensors under the names that `rules` lead to.

    Raises Inexpressible for an operation that does not fit.
    """
    renamed = {name: source.value for name, source in apply_to_values(values, rules).sources.items()}
    misfits = [f"{name}: {value.fault}" for name, value in renamed.items() if value.fault]
    if misfits:
        raise Inexpressible(
            "these tensors cannot be laid out as the other library has them:\n  " + "\n  ".join(misfits) + "\nReport "
            "it with the output of `transfer inspect`: the network is not what its options say."
        )
    return renamed


def initial_norm(name: str, width: int) -> dict[str, Value]:
    """Return a new norm as every library starts it: weight 1, bias 0."""
    return {f"{name}.weight": stored(torch.ones(width)), f"{name}.bias": stored(torch.zeros(width))}


def without(values: Mapping[str, Value], pattern: str) -> dict[str, Value]:
    """Return all values but those whose names `pattern` matches entirely."""
    return {name: value for name, value in values.items() if not re.fullmatch(pattern, name)}
