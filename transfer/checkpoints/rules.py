"""Renaming rules: from a project's names to canonical names, or to a declared reason for leaving a tensor out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from transfer.errors import WeightMismatch


@dataclass(frozen=True)
class Strip:
    """Names must begin with `prefix`, which goes; others stay without a place."""

    prefix: str


@dataclass(frozen=True)
class Rename:
    """A name that `pattern` matches as a whole becomes `replacement` (as in `re.sub`)."""

    pattern: str
    replacement: str


@dataclass(frozen=True)
class Drop:
    """A name that `pattern` matches as a whole is no part of the trunk, because of `reason`."""

    pattern: str
    reason: str


Rule = Strip | Rename | Drop


@dataclass(frozen=True)
class Source:
    """A tensor of the file, under its name there."""

    name: str
    tensor: Tensor


@dataclass(frozen=True)
class Renamed:
    """Canonical name → source, name in the file → reason for dropping, and what no rule has a place for."""

    kept: Mapping[str, Source]
    dropped: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, Source] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


def apply_rules(tensors: Mapping[str, Tensor], rules: Sequence[Rule]) -> Renamed:
    """Send every name through the rules in order. Raises WeightMismatch if two names become one."""
    kept: dict[str, Source] = {}
    dropped: dict[str, str] = {}
    foreign: dict[str, Source] = {}
    for name, tensor in tensors.items():
        result = _follow(name, rules)
        if isinstance(result, Drop):
            dropped[name] = result.reason
        elif result is None:
            foreign[name] = Source(name, tensor)
        elif result in kept:
            raise WeightMismatch(
                f"two tensors of the file claim one place, {result}:\n  + {kept[result].name}\n  + {name}\n"
                "The file mixes two networks. Write one network's weights into it."
            )
        else:
            kept[result] = Source(name, tensor)
    return Renamed(kept, dropped, foreign, tuple(rules))


def _follow(name: str, rules: Sequence[Rule]) -> str | Drop | None:
    for rule in rules:
        if isinstance(rule, Strip):
            if not name.startswith(rule.prefix):
                return None
            name = name.removeprefix(rule.prefix)
        elif match := re.fullmatch(rule.pattern, name):
            if isinstance(rule, Drop):
                return rule
            name = match.expand(rule.replacement)
    return name


def name_in_file(name: str, rules: Sequence[Rule]) -> str:
    """What a tensor with this canonical name is called in the file, as far as the rules can be read backwards."""
    source = name
    for rule in reversed(rules):
        if isinstance(rule, Strip):
            source = rule.prefix + source
        elif isinstance(rule, Rename):
            source = _undo(source, rule)
    return source if _follow(source, rules) == name else name


def _undo(name: str, rule: Rename) -> str:
    """Swap the rule's sides: its groups move to the replacement, the first of alternatives stands for all."""
    groups = re.findall(r"\((?!\?)[^()]*\)", rule.pattern)
    backward = re.escape(rule.replacement)
    for number, group in enumerate(groups, 1):
        backward = backward.replace(rf"\\{number}", f"(?P<g{number}>{group[1:-1]})")
    match = re.fullmatch(backward, name)
    if match is None:
        return name
    forward = re.sub(r"\(\?:([^|()]*)[^()]*\)", r"\1", rule.pattern)
    for number, group in enumerate(groups, 1):
        forward = forward.replace(group, match[f"g{number}"], 1)
    return forward.replace("\\.", ".")
