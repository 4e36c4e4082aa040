"""A family of checkpoints: how its files are recognised, and how they are taken apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.errors import UnknownName
from transfer.schemas.checkpoint import InputContract

POOLED = (
    "the network was fine-tuned with fc_norm after its pooling in place of a final norm: the backbone ends without "
    "norm."
)


@dataclass(frozen=True)
class Claim:
    """The reason why a file belongs to a family: `decisive` evidence outweighs a convention about bare names."""

    evidence: str
    decisive: bool = False


@dataclass(frozen=True)
class Plan:
    """The way in which one file is taken apart.

    `which` names the chosen network of the file, `state_dict` holds it, `rules` lead to canonical names,
    `allowed_missing` lists what the file may lack; `options` are those of the network that leave no trace in shapes, or
    that the file states in so many words (None: the builder's default), `arch`, `heads` and `image` what it says about
    itself; `input` is the contract without size and patch. `other_weights` are the file's other networks by name.
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
    other_weights: Mapping[str, Weights] = field(default_factory=dict)
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


@dataclass(frozen=True)
class FamilyDefaults:
    """A family's knowledge of its networks that names do not tell: see `Plan` for each field."""

    input: InputContract
    options: Mapping[str, Any] = field(default_factory=dict)
    arch: str | None = None
    heads: int | None = None
    image: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()


def plan_weights(
    contents: Contents,
    networks: Mapping[str, Weights],
    which: str | None,
    defaults: FamilyDefaults,
    own: KeyMapping | None = None,
) -> Plan | None:
    """Plan to take the file apart for the network called `which`, or the first; the others must have the same names.

    `own` is the family's key mapping, by default that of the network's layout. None if the network has no layout that
    is known here. Raises UnknownName for a network that the file does not have.
    """
    chosen = choose(which, tuple(networks))
    weights = networks[chosen]
    mappings = (one.key_mapping() for one in (weights, *networks.values()))
    key_mapping = own or next((found for found in mappings if found is not None), None)
    if key_mapping is None:
        return None
    renamed = {label: replace(one, renaming=key_mapping.rules) for label, one in networks.items()}
    pooled = () if key_mapping.options.get("final_norm", True) else (POOLED,)
    return Plan(
        which=chosen,
        kind=key_mapping.kind,
        state_dict=weights.state_dict,
        rules=renamed.pop(chosen).rules,
        input=defaults.input,
        allowed_missing=key_mapping.allowed_missing,
        options={**key_mapping.options, **defaults.options},
        arch=defaults.arch or contents.arch,
        heads=defaults.heads,
        image=defaults.image,
        other_weights=renamed,
        warnings=(*defaults.warnings, *weights.warnings, *pooled),
    )


def choose(which: str | None, available: Sequence[str]) -> str:
    """Return `which`, or the first of `available` where it is None. Raises UnknownName."""
    if which is None:
        return available[0]
    if which not in available:
        raise UnknownName.among("network in this file called", which, available)
    return which
