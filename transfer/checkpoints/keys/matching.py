"""Exact matching: every tensor of the backbone has one source or a declared reason; every source has a place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transfer.checkpoints.keys.rules import Renamed, Source, name_in_file
from transfer.checkpoints.keys.values import Value
from transfer.errors import WeightMismatch

SHOWN = 40


@dataclass(frozen=True)
class AllowedMissing:
    """Backbone tensors that may keep their initial value: names that `pattern` matches as a whole, and why."""

    pattern: str
    reason: str


@dataclass(frozen=True)
class Matched:
    """Canonical name → its source (absent where initialised), and what was noteworthy.

    `numbers` counts the elements of each tensor of the backbone, filled or not, without counts of batches.
    """

    sources: Mapping[str, Source]
    dtypes: Mapping[str, torch.dtype]
    initialised: Mapping[str, str]
    numbers: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def coverage(self) -> float:
        """Share of the backbone's elements that the file fills."""
        return share(self.numbers, self.sources)

    def load(self, name: str) -> Tensor:
        """The tensor in the backbone's precision, contiguous; it may share memory with the file."""
        return self.sources[name].value.load().to(self.dtypes[name]).contiguous()


def share(numbers: Mapping[str, int], filled: Iterable[str]) -> float:
    """Share of all elements that belong to the `filled` names; 1 where there are no elements."""
    total = sum(numbers.values())
    return sum(numbers.get(name, 0) for name in filled) / total if total else 1.0


def match(
    target: Mapping[str, Tensor],
    renamed: Renamed,
    allowed_missing: Sequence[AllowedMissing],
    *,
    title: str,
    family: str,
) -> Matched:
    """Fill `target` (names and shapes) from `renamed`, without reading a number.

    Raises WeightMismatch that lists `-` unfilled and `+` unused names with their shapes and the closest match, for
    other shapes, other kinds of numbers, and excuses that excuse nothing.
    """
    initialised = _initialised(target, renamed.kept, allowed_missing, title, family)
    unfilled = [name for name in target if name not in renamed.kept and name not in initialised]
    reshaped = [n for n, s in renamed.kept.items() if n in target and not _fits(s.value, target[n])]
    unused = {name: source for name, source in renamed.kept.items() if name not in target} | dict(renamed.foreign)
    if unfilled or reshaped or unused:
        raise WeightMismatch(_report(target, renamed, unfilled, reshaped, unused, title=title, family=family))
    sources = {name: renamed.kept[name] for name in target if name not in initialised}
    for name, source in sources.items():
        _refuse_other_numbers(source, target[name].dtype, title)
    dtypes = {name: tensor.dtype for name, tensor in target.items()}
    # a count of batches is no weight: many projects keep none, and no feature depends on it
    numbers = {name: tensor.numel() for name, tensor in target.items() if not name.endswith("num_batches_tracked")}
    return Matched(sources, dtypes, initialised, numbers, _casts(sources, target))


def _fits(value: Value, tensor: Tensor) -> bool:
    return value.fault is None and value.shape == tuple(tensor.shape)


def _initialised(
    target: Mapping[str, Tensor],
    kept: Mapping[str, Source],
    allowed_missing: Sequence[AllowedMissing],
    title: str,
    family: str,
) -> dict[str, str]:
    initialised: dict[str, str] = {}
    for allowed in allowed_missing:
        names = [name for name in target if name not in kept and re.fullmatch(allowed.pattern, name)]
        if not names:
            raise WeightMismatch(
                f"{title}: the excuse {allowed.pattern!r} ({allowed.reason}) excuses nothing: no such tensor of the "
                f"backbone lacks a source. Remove it from transfer/checkpoints/families/{family}.py or declare it only "
                "for the files that need it."
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
        source = renamed.kept[name]
        lines += [("-", name, _shape(target[name]), "expected")]
        note = f"in the file{_named(name, source.name)}" + (f"   {source.value.fault}" if source.value.fault else "")
        lines += [("+", name, _shape(source.value), note)]
    near = _closest(unfilled, unused)
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
    return f"Add a rule to transfer/checkpoints/families/{family}.py, or list it under may_init with a reason."


def _closest(unfilled: Sequence[str], unused: Mapping[str, Source]) -> set[str]:
    return {name for wanted in unfilled[:SHOWN] for name in difflib.get_close_matches(wanted, unused, n=1, cutoff=0.6)}


def _shape(tensor: Tensor | Value) -> str:
    return str(tuple(tensor.shape))


def _named(name: str, in_file: str) -> str:
    """The name in the file, unless it is the canonical one behind a prefix."""
    return "" if in_file.endswith(name) else f"   (named {in_file})"


def _refuse_other_numbers(source: Source, dtype: torch.dtype, title: str) -> None:
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
