"""Exact matching: every tensor of the backbone has one source or may be missing for a reason; every source has a place.

This is the one place that decides whether a file is a network's. It works on names, shapes and dtypes alone, so that
a file of any size is refused before a value of it is read.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transfer.checkpoints.keys.reverse import name_in_file
from transfer.checkpoints.keys.rules import Renamed, Source
from transfer.checkpoints.keys.values import Value
from transfer.errors import WeightMismatch

SHOWN = 40
BY_RULES = "rules:"
"""Prefix of a user's own rules file in the place of a family's name."""


@dataclass(frozen=True)
class AllowedMissing:
    """Backbone tensors that a file may lack, which stay as initialised: names that `pattern` matches, and why."""

    pattern: str
    reason: str


@dataclass(frozen=True)
class Matched:
    """The result of a match: canonical name → its source (absent where initialised), and warnings.

    `elements` counts those of each tensor of the backbone, filled or not, without counts of batches.
    """

    sources: Mapping[str, Source]
    dtypes: Mapping[str, torch.dtype]
    initialised: Mapping[str, str]
    elements: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def coverage(self) -> float:
        """Share of the backbone's elements that the file fills, 0 to 1."""
        return filled_share(self.elements, self.sources)

    def load(self, name: str) -> Tensor:
        """Return the tensor in the backbone's precision, contiguous; it may share memory with the file."""
        return self.sources[name].value.load().to(self.dtypes[name]).contiguous()


def filled_share(elements: Mapping[str, int], filled: Iterable[str]) -> float:
    """Return the share of all elements that belong to the `filled` names; 1 where there are no elements."""
    total = sum(elements.values())
    return sum(elements.get(name, 0) for name in filled) / total if total else 1.0


def match(
    target: Mapping[str, Tensor],
    renamed: Renamed,
    allowed_missing: Sequence[AllowedMissing],
    *,
    title: str,
    family: str,
) -> Matched:
    """Fill `target` (names and shapes) from `renamed`, without reading a value.

    Raises WeightMismatch that lists `-` unfilled and `+` unused names with their shapes and the closest match, for
    other shapes, other kinds of dtype, and allowed missing tensors that are not missing.
    """
    found = renamed.sources
    initialised = _initialised(target, found, allowed_missing, title, family)
    unfilled = [name for name in target if name not in found and name not in initialised]
    reshaped = [name for name in found if name in target and not _fits(found[name].value, target[name])]
    unused = {name: source for name, source in found.items() if name not in target} | dict(renamed.unexpected)
    if unfilled or reshaped or unused:
        raise WeightMismatch(_report(target, renamed, unfilled, reshaped, unused, title=title, family=family))
    sources = {name: found[name] for name in target if name not in initialised}
    for name, source in sources.items():
        _refuse_other_dtype(source, target[name].dtype, title)
    dtypes = {name: tensor.dtype for name, tensor in target.items()}
    # a count of batches is no weight: many projects keep none, and no feature depends on it
    elements = {name: tensor.numel() for name, tensor in target.items() if not name.endswith("num_batches_tracked")}
    return Matched(sources, dtypes, initialised, elements, _casts(sources, target))


def _fits(value: Value, tensor: Tensor) -> bool:
    return value.fault is None and value.shape == tuple(tensor.shape)


def _initialised(
    target: Mapping[str, Tensor],
    found: Mapping[str, Source],
    allowed_missing: Sequence[AllowedMissing],
    title: str,
    family: str,
) -> dict[str, str]:
    initialised: dict[str, str] = {}
    # a pattern that matches nothing is as wrong as a missing tensor: it would hide the next one that is lost
    for allowed in allowed_missing:
        names = [name for name in target if name not in found and re.fullmatch(allowed.pattern, name)]
        if not names:
            raise WeightMismatch(
                f"{title}: {allowed.pattern!r} is allowed to be missing ({allowed.reason}), but no such tensor of the "
                f"backbone lacks a source. Remove it from {_rules_file(family)}, or declare it only for the files that "
                "need it."
            )
        initialised |= dict.fromkeys(names, allowed.reason)
    return initialised


def _report(
    target: Mapping[str, Tensor],
    renamed: Renamed,
    unfilled: Sequence[str],
    reshaped: Sequence[str],
    unused: Mapping[str, Source],
    *,
    title: str,
    family: str,
) -> str:
    counts = [f"{len(unfilled)} of {len(target)} tensors unfilled"] if unfilled else []
    counts += [f"{len(reshaped)} of another shape"] if reshaped else []
    counts += [f"{len(unused)} unused"] if unused else []
    lines = [("-", name, _shape(target[name]), _named(name, name_in_file(name, renamed.rules))) for name in unfilled]
    for name in reshaped:
        source = renamed.sources[name]
        lines += [("-", name, _shape(target[name]), "expected")]
        note = f"in the file{_named(name, source.name)}" + (f"   {source.value.fault}" if source.value.fault else "")
        lines += [("+", name, _shape(source.value), note)]
    near = _closest(unfilled, unused)
    # the closest names first: long lists are cut
    for name, source in sorted(unused.items(), key=lambda item: item[0] not in near):
        lines.append(("+", name, _shape(source.value), ("closest" if name in near else "") + _named(name, source.name)))
    return f"{title}: {', '.join(counts)}\n{_table(lines)}\n{_advice(family)}"


def _table(lines: Sequence[tuple[str, str, str, str]]) -> str:
    shown = [*lines[:SHOWN], *[line for line in lines[SHOWN:] if line[0] == "+"][:SHOWN]]
    name_width = max(len(name) for _, name, _, _ in shown)
    shape_width = max(len(shape) for _, _, shape, _ in shown)
    rows = [
        f"  {sign} {name:<{name_width}}   {shape:<{shape_width}}   {note}".rstrip() for sign, name, shape, note in shown
    ]
    if len(shown) < len(lines):
        rows.append(f"  … and {len(lines) - len(shown)} more")
    return "\n".join(rows)


def _advice(family: str) -> str:
    """Say what the user can do: another layout needs no new code, but rules of the user's own."""
    if family.startswith(BY_RULES):
        return f"Add a rule to {_rules_file(family)}, or list the tensor under allowed_missing (docs/rules.md)."
    return (
        "If this network has another layout, write the renaming down and pass it: --rules my_rules.toml "
        "(docs/rules.md)."
    )


def _rules_file(family: str) -> str:
    """Return where the rules are: a family's module, or the user's own file."""
    own = family.startswith(BY_RULES)
    return family.removeprefix(BY_RULES) if own else f"transfer/checkpoints/families/{family}.py"


def _closest(unfilled: Sequence[str], unused: Mapping[str, Source]) -> set[str]:
    return {name for wanted in unfilled[:SHOWN] for name in difflib.get_close_matches(wanted, unused, n=1, cutoff=0.6)}


def _shape(tensor: Tensor | Value) -> str:
    return str(tuple(tensor.shape))


def _named(name: str, in_file: str) -> str:
    """Return the name in the file, unless it is the canonical one behind a prefix."""
    return "" if in_file.endswith(name) else f"   (named {in_file})"


def _refuse_other_dtype(source: Source, dtype: torch.dtype, title: str) -> None:
    found = source.value.dtype
    if found.is_floating_point != dtype.is_floating_point or found.is_complex:
        raise WeightMismatch(
            f"{title}: {source.name} holds {found}, expected {dtype}: a quantised or converted file. Use the weights "
            "as they were trained."
        )


def _casts(sources: Mapping[str, Source], target: Mapping[str, Tensor]) -> tuple[str, ...]:
    kinds = {(s.value.dtype, target[n].dtype) for n, s in sources.items() if s.value.dtype != target[n].dtype}
    return tuple(
        f"{str(old).removeprefix('torch.')} weights were cast to {str(new).removeprefix('torch.')}"
        for old, new in sorted(kinds, key=str)
    )
