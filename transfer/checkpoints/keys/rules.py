"""Rules that lead from a project's names and layouts to canonical ones, or drop a tensor for a declared reason."""

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
    """A rule that removes `prefix`, with which all names must begin: others end as unexpected."""

    prefix: str


@dataclass(frozen=True)
class Rename:
    """A rule that turns a name which `pattern` matches as a whole into `replacement` (as in `re.sub`)."""

    pattern: str
    replacement: str


@dataclass(frozen=True)
class Drop:
    """A rule that leaves out names which `pattern` matches as a whole: no part of the backbone, because of `reason`."""

    pattern: str
    reason: str


@dataclass(frozen=True)
class Permute:
    """A rule that puts dimensions into the order `dims`: (3, 2, 0, 1) makes TensorFlow's HWIO kernels OIHW."""

    pattern: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Reshape:
    """A rule that gives the tensor `shape`, of which one entry may be -1."""

    pattern: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Apply:
    """A rule that calls `function` on the tensor, also on the meta device; `what` names the operation for people."""

    pattern: str
    function: Callable[[Tensor], Tensor]
    what: str


@dataclass(frozen=True)
class Join:
    """A rule that concatenates several tensors along `dim`.

    `pattern` has a group `part`, which is one of `parts`; they are put in that order. `replacement` names the result.
    A result that lacks a part is not made: the other parts stay as they are, and the match names them.
    """

    pattern: str
    parts: tuple[str, ...]
    replacement: str
    dim: int = 0


@dataclass(frozen=True)
class Split:
    """A rule that splits a tensor into equal chunks along `dim`, named by `replacements` in order."""

    pattern: str
    replacements: tuple[str, ...]
    dim: int = 0


Rule = RemovePrefix | Rename | Drop | Permute | Reshape | Apply | Join | Split


@dataclass(frozen=True)
class Source:
    """A value and its name in the file; a joined one has several names with ` + ` between them."""

    name: str
    value: Value


@dataclass(frozen=True)
class Renamed:
    """The result of applying rules: canonical name → source, name in the file → reason for dropping it.

    `unexpected` are the tensors outside of a prefix that all names should have.
    """

    sources: Mapping[str, Source]
    dropped: Mapping[str, str] = field(default_factory=dict)
    unexpected: Mapping[str, Source] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by canonical name."""
        return {name: source.value.shape for name, source in self.sources.items()}


Named = tuple[str, Source]


def apply_rules(tensors: Mapping[str, Tensor], rules: Sequence[Rule]) -> Renamed:
    """Send every tensor through the rules in order. Raises WeightMismatch if two names become one."""
    return apply_to_values({name: stored(tensor) for name, tensor in tensors.items()}, rules)


def apply_to_values(values: Mapping[str, Value], rules: Sequence[Rule]) -> Renamed:
    """Do as `apply_rules` for tensors that are not read yet."""
    sources = {name: Source(name, value) for name, value in values.items()}
    dropped: dict[str, str] = {}
    unexpected: dict[str, Source] = {}
    for rule in rules:
        match rule:
            case Drop():
                gone = [name for name in sources if re.fullmatch(rule.pattern, name)]
                dropped |= {sources.pop(name).name: rule.reason for name in gone}
            case RemovePrefix():
                outside = [name for name in sources if not name.startswith(rule.prefix)]
                unexpected |= {name: sources.pop(name) for name in outside}
                sources = {name.removeprefix(rule.prefix): source for name, source in sources.items()}
            case _:
                sources = _unique(_changed(sources, rule))
    return Renamed(sources, dropped, unexpected, tuple(rules))


def _changed(sources: Mapping[str, Source], rule: Rename | Permute | Reshape | Apply | Join | Split) -> Iterator[Named]:
    if isinstance(rule, Join):
        yield from _joined(sources, rule)
        return
    for name, source in sources.items():
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


def _joined(sources: Mapping[str, Source], rule: Join) -> Iterator[Named]:
    results: dict[str, dict[str, str]] = {}  # name of the result → part → name of the part's tensor
    for name in sources:
        found = re.fullmatch(rule.pattern, name)
        if found and found["part"] in rule.parts:
            results.setdefault(found.expand(rule.replacement), {})[found["part"]] = name
    complete = {result: parts for result, parts in results.items() if len(parts) == len(rule.parts)}
    first = {parts[rule.parts[0]]: result for result, parts in complete.items()}
    used = {name for parts in complete.values() for name in parts.values()}
    # the result takes the place of its first part, so that the order of names stays that of the file
    for name, source in sources.items():
        if name in first:
            result = first[name]
            yield result, _concatenated([sources[complete[result][part]] for part in rule.parts], rule.dim)
        elif name not in used:
            yield name, source


def _concatenated(sources: Sequence[Source], dim: int) -> Source:
    value = combined([source.value for source in sources], lambda parts: torch.cat(parts, dim), "joining")
    return Source(" + ".join(source.name for source in sources), value)


def _unique(named: Iterator[Named]) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for name, source in named:
        if name in sources:
            raise WeightMismatch(
                f"two tensors of the file claim one place, {name}:\n  + {sources[name].name}\n  + {source.name}\n"
                "The file mixes two networks. Write one network's weights into it."
            )
        sources[name] = source
    return sources
