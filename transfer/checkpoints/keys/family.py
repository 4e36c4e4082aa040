"""What a family of checkpoints is: how it is recognised, and how its files are taken apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Rule
from transfer.errors import UnknownName
from transfer.schemas.checkpoint import InputContract


@dataclass(frozen=True)
class Claim:
    """Why a file belongs to a family: `decisive` evidence of its method outweighs a convention about bare names."""

    evidence: str
    decisive: bool = False


@dataclass(frozen=True)
class OtherWeights:
    """Another copy of the network in the file (key encoder, student, moving average): the same names and shapes."""

    label: str
    tensors: Mapping[str, Tensor]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Plan:
    """How one file is taken apart.

    `which` names the chosen copy of the network, `state_dict` holds it, `rules` lead to canonical names, `allowed_missing` excuses
    what the file lacks; `options` are those of the network that leave no trace in shapes, or that the file states in so
    many words (None: the builder's default), `arch`, `heads` and `image` what it says about itself; `input` is the
    contract without size and patch.
    """

    which: str
    kind: str
    state_dict: StateDict
    rules: tuple[Rule, ...]
    input: InputContract
    allowed_missing: tuple[AllowedMissing, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    arch: str | None = None
    heads: int | None = None
    image: tuple[int, int] | None = None
    other_weights: tuple[OtherWeights, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """A project, or several with one layout, whose checkpoints look alike.

    `recognise(contents)` returns a claim or None; `plan(contents, which)` takes the file apart, None if it has none
    of the family's layouts. `layouts` describes them for people. `pretraining` says how its images came about where
    that rules out photographs, so that they cannot hold test images.
    """

    name: str
    aliases: tuple[str, ...]
    description: str
    layouts: tuple[str, ...]
    recognise: Callable[[Contents], Claim | None]
    plan: Callable[[Contents, str | None], Plan | None]
    pretraining: str = ""


def choose(which: str | None, available: Sequence[str]) -> str:
    """`which`, or the first of `available`. Raises UnknownName."""
    if which is None:
        return available[0]
    if which not in available:
        raise UnknownName.among("network in this file called", which, available)
    return which
