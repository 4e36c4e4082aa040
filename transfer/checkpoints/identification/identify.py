"""Identify the family that a file belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from transfer.checkpoints.families import FAMILIES
from transfer.checkpoints.identification.nested import nested_modules, seen_from_outside
from transfer.checkpoints.keys.contents import Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.errors import AmbiguousFamily, UnknownFamily, UnknownName

OTHERS: Mapping[str, str] = {
    r"(.*\.)?(g_mapping|g_synthesis|mapping|synthesis)\.": "a StyleGAN generator, which draws images and reads none",
    r"features\.\d+\.(weight|bias)$": "a VGG or an AlexNet, which have no canonical form here",
    r"features\.denseblock\d\.": "a DenseNet, which has no canonical form here",
}
"""Names → networks that projects publish next to backbones, and that are none."""


def plan_for(contents: Contents, family: str | None, which: str | None) -> tuple[Family, Plan]:
    """Return the named family's plan, or that of the only family that recognises the file.

    A file that no family knows is looked at from within the modules that may hold a network. Raises UnknownName for a
    family or network that does not exist, UnknownFamily or AmbiguousFamily with every candidate and its evidence.
    """
    chosen = identify(contents) if family is None else family_called(family)
    plan = chosen.plan(contents, which)
    if plan is None:
        plan = _plan_within(contents, chosen, which)
    if plan is None:
        raise UnknownFamily(
            f"{contents.raw.path} has none of the layouts of the family {chosen.name}: expected "
            f"{'; or '.join(chosen.layouts)}. It holds {_held(contents)}. Leave --family out to have it identified."
        )
    return chosen, plan


def _plan_within(contents: Contents, family: Family, which: str | None) -> Plan | None:
    for nested in nested_modules(contents):
        plan = family.plan(nested.contents, which) or _plan_within(nested.contents, family, which)
        if plan is not None:
            return seen_from_outside(plan, nested, contents)
    return None


def family_called(name: str) -> Family:
    """Return the family of that name or alias. Raises UnknownName."""
    found = next((family for family in FAMILIES if name.lower() in (family.name, *family.aliases)), None)
    if found is None:
        raise UnknownName.among("family", name, (n for family in FAMILIES for n in (family.name, *family.aliases)))
    return found


def identify(contents: Contents) -> Family:
    """Return the only family with decisive evidence, else the only one with a claim; for nested networks if none has.

    Raises UnknownFamily or AmbiguousFamily.
    """
    found = _candidates(contents) or _candidates_within(contents)
    if len(found) > 1:
        raise AmbiguousFamily(_several(contents, found))
    if not found:
        raise UnknownFamily(_none(contents))
    return found[0][0]


def _candidates(contents: Contents) -> list[tuple[Family, Claim]]:
    claims = [(family, claim) for family in FAMILIES if (claim := family.recognise(contents))]
    return [pair for pair in claims if pair[1].decisive] or claims


def _candidates_within(contents: Contents) -> list[tuple[Family, Claim]]:
    for nested in nested_modules(contents):
        if found := _candidates(nested.contents) or _candidates_within(nested.contents):
            return found
    return []


def _several(contents: Contents, candidates: list[tuple[Family, Claim]]) -> str:
    lines = "\n".join(f"  {family.name}: {claim.evidence}" for family, claim in candidates)
    return (
        f"{contents.raw.path} looks like several families:\n{lines}\nPass --family "
        f"{' or --family '.join(family.name for family, _ in candidates)} to say which it is."
    )


def _none(contents: Contents) -> str:
    lines = "\n".join(f"  {family.name}: {'; '.join(family.layouts)}" for family in FAMILIES)
    if (instead := _other_network(contents)) is not None:
        return f"{contents.raw.path} holds {instead}: {_held(contents)}. It cannot be evaluated as a backbone."
    return (
        f"no family recognises {contents.raw.path}. It holds {_held(contents)}. Known families and what they look "
        f"like:\n{lines}\nIf it is one of them in another form, pass --family; a VGG or another network "
        "without a ResNet, ConvNeXt, ViT or Swin backbone cannot be evaluated."
    )


def _other_network(contents: Contents) -> str | None:
    """Return what the file holds, where its names say that no backbone is in it."""
    names = [name for state_dict in contents.state_dicts.values() for name in state_dict.tensors]
    return next((what for pattern, what in OTHERS.items() if any(re.match(pattern, name) for name in names)), None)


def _held(contents: Contents) -> str:
    """Describe the first state dicts by their size and their first and last names."""
    parts = []
    for state_dict in list(contents.state_dicts.values())[:6]:
        names = list(state_dict.tensors)
        shown = ", ".join(names if len(names) <= 6 else [*names[:3], "…", *names[-2:]])
        parts.append(f"{len(names)} tensors in {state_dict.where} ({shown})")
    return "; ".join(parts)
