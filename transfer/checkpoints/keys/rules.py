"""Rules: from a project's names and layouts to canonical ones, or to a declared reason for leaving a tensor out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from transfer.checkpoints.keys.values import Value, combined, stored
from transfer.errors import WeightMismatch


@dataclass(frozen=True)
class RemovePrefix:
    """Names must begin with `prefix`, which goes; others stay without a place."""

    prefix: str


@dataclass(frozen=True)
class Rename:
    """A name that `pattern` matches as a whole becomes `replacement` (as in `re.sub`)."""

    pattern: str
    replacement: str


@dataclass(frozen=True)
class Drop:
    """A name that `pattern` matches as a whole is no part of the backbone, because of `reason`."""

    pattern: str
    reason: str


@dataclass(frozen=True)
class Permute:
    """Dimensions are put into the order `dims`: (3, 2, 0, 1) makes TensorFlow's HWIO kernels OIHW."""

    pattern: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Reshape:
    """The tensor gets `shape`; one entry may be -1."""

    pattern: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Apply:
    """`function` of the tensor; `what` names it for people. It must work on tensors of the meta device, too."""

    pattern: str
    function: Callable[[Tensor], Tensor]
    what: str


@dataclass(frozen=True)
class Join:
    """Several tensors become one, concatenated along `dim`.

    `pattern` has a group `part`, which is one of `parts`; they are put in that order. `replacement` names the whole.
    A whole that lacks a part is not made: its parts stay as they are, and the match names them.
    """

    pattern: str
    parts: tuple[str, ...]
    replacement: str
    dim: int = 0


@dataclass(frozen=True)
class Split:
    """One tensor becomes several: equal chunks along `dim`, named by `replacements` in order."""

    pattern: str
    replacements: tuple[str, ...]
    dim: int = 0


Rule = RemovePrefix | Rename | Drop | Permute | Reshape | Apply | Join | Split


@dataclass(frozen=True)
class Source:
    """A value under its name in the file; one that was joined has several, with ` + ` between them."""

    name: str
    value: Value


@dataclass(frozen=True)
class Renamed:
    """Canonical name → source, name in the file → reason for dropping, and what no rule has a place for."""

    kept: Mapping[str, Source]
    dropped: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, Source] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name → shape."""
        return {name: source.value.shape for name, source in self.kept.items()}


Named = tuple[str, Source]


def apply_rules(tensors: Mapping[str, Tensor], rules: Sequence[Rule]) -> Renamed:
    """Send every tensor through the rules in order. Raises WeightMismatch if two names become one."""
    return apply_to_values({name: stored(tensor) for name, tensor in tensors.items()}, rules)


def apply_to_values(values: Mapping[str, Value], rules: Sequence[Rule]) -> Renamed:
    """The same for tensors that are not read yet."""
    kept = {name: Source(name, value) for name, value in values.items()}
    dropped: dict[str, str] = {}
    foreign: dict[str, Source] = {}
    for rule in rules:
        match rule:
            case Drop():
                gone = [name for name in kept if re.fullmatch(rule.pattern, name)]
                dropped |= {kept.pop(name).name: rule.reason for name in gone}
            case RemovePrefix():
                outside = [name for name in kept if not name.startswith(rule.prefix)]
                foreign |= {name: kept.pop(name) for name in outside}
                kept = {name.removeprefix(rule.prefix): source for name, source in kept.items()}
            case _:
                kept = _unique(_changed(kept, rule))
    return Renamed(kept, dropped, foreign, tuple(rules))


def _changed(kept: Mapping[str, Source], rule: Rename | Permute | Reshape | Apply | Join | Split) -> Iterator[Named]:
    if isinstance(rule, Join):
        yield from _joined(kept, rule)
        return
    for name, source in kept.items():
        found = re.fullmatch(rule.pattern, name)
        if found is None:
            yield name, source
        elif isinstance(rule, Rename):
            yield found.expand(rule.replacement), source
        elif isinstance(rule, Split):
            yield from _chunks(found, source, rule)
        else:
            yield name, Source(source.name, _altered(source.value, rule))


def _altered(value: Value, rule: Permute | Reshape | Apply) -> Value:
    match rule:
        case Permute(dims=dims):
            return value.then(lambda tensor: tensor.permute(dims), f"the order of dimensions {dims}")
        case Reshape(shape=shape):
            return value.then(lambda tensor: tensor.reshape(shape), f"the shape {shape}")
        case Apply():
            return value.then(rule.function, rule.what)


def _chunks(found: re.Match[str], source: Source, rule: Split) -> Iterator[Named]:
    for index, replacement in enumerate(rule.replacements):
        value = source.value.then(_chunk(index, len(rule.replacements), rule.dim), f"chunk {index + 1}")
        yield found.expand(replacement), Source(source.name, value)


def _chunk(index: int, count: int, dim: int) -> Callable[[Tensor], Tensor]:
    def function(tensor: Tensor) -> Tensor:
        if tensor.shape[dim] % count:
            raise ValueError(f"{tensor.shape[dim]} does not divide by {count}")
        return tensor.chunk(count, dim)[index]

    return function


def _joined(kept: Mapping[str, Source], rule: Join) -> Iterator[Named]:
    wholes: dict[str, dict[str, str]] = {}
    for name in kept:
        found = re.fullmatch(rule.pattern, name)
        if found and found["part"] in rule.parts:
            wholes.setdefault(found.expand(rule.replacement), {})[found["part"]] = name
    complete = {whole: parts for whole, parts in wholes.items() if len(parts) == len(rule.parts)}
    first = {parts[rule.parts[0]]: whole for whole, parts in complete.items()}
    used = {name for parts in complete.values() for name in parts.values()}
    for name, source in kept.items():
        if name in first:
            whole = first[name]
            yield whole, _concatenated([kept[complete[whole][part]] for part in rule.parts], rule.dim)
        elif name not in used:
            yield name, source


def _concatenated(sources: Sequence[Source], dim: int) -> Source:
    value = combined([source.value for source in sources], lambda parts: torch.cat(parts, dim), "joining")
    return Source(" + ".join(source.name for source in sources), value)


def _unique(named: Iterator[Named]) -> dict[str, Source]:
    kept: dict[str, Source] = {}
    for name, source in named:
        if name in kept:
            raise WeightMismatch(
                f"two tensors of the file claim one place, {name}:\n  + {kept[name].name}\n  + {source.name}\n"
                "The file mixes two networks. Write one network's weights into it."
            )
        kept[name] = source
    return kept


def _follow(name: str, rules: Sequence[Rule]) -> str | None:
    """Where one name leads by itself, None if it is left out."""
    for rule in rules:
        if isinstance(rule, RemovePrefix):
            if not name.startswith(rule.prefix):
                return None
            name = name.removeprefix(rule.prefix)
        elif found := re.fullmatch(rule.pattern, name):
            if isinstance(rule, Drop):
                return None
            if isinstance(rule, (Rename, Join)):
                name = found.expand(rule.replacement)
    return name


def name_in_file(name: str, rules: Sequence[Rule]) -> str:
    """What a tensor with this canonical name is called in the file, as far as the rules can be read backwards.

    The parts of a tensor that was joined stand with ` + ` between them.
    """
    sources = [name]
    for rule in reversed(rules):
        if isinstance(rule, RemovePrefix):
            sources = [rule.prefix + source for source in sources]
        elif isinstance(rule, Rename):
            sources = [_undo(source, rule.pattern, rule.replacement) for source in sources]
        elif isinstance(rule, Join):
            sources = [part for source in sources for part in _parts(source, rule)]
    return " + ".join(sources) if all(_follow(source, rules) == name for source in sources) else name


def _parts(name: str, rule: Join) -> list[str]:
    patterns = [re.sub(r"\(\?P<part>[^()]*\)", f"(?P<part>{part})", rule.pattern) for part in rule.parts]
    return list(dict.fromkeys(_undo(name, pattern, rule.replacement) for pattern in patterns))


def _undo(name: str, pattern: str, replacement: str) -> str:
    """Swap the rule's sides: its groups move to the replacement, the first of alternatives stands for all."""
    groups = re.findall(r"\((?:\?P<part>|(?!\?))[^()]*\)", pattern)
    backward = re.escape(replacement)
    for number, group in enumerate(groups, 1):
        backward = backward.replace(rf"\\{number}", f"(?P<g{number}>{group[1:-1].removeprefix('?P<part>')})")
    match = re.fullmatch(backward, name)
    if match is None:
        return name
    forward = re.sub(r"\(\?:([^|()]*)[^()]*\)", r"\1", pattern)
    for number, group in enumerate(groups, 1):
        forward = forward.replace(group, match.groupdict().get(f"g{number}", _first_alternative(group)), 1)
    return forward.replace("\\.", ".")


def _first_alternative(group: str) -> str:
    """`(q|k|v)` and `(?P<part>q|k|v)` → `q`."""
    return group[1:-1].removeprefix("?P<part>").split("|")[0]
