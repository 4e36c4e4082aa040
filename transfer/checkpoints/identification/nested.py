"""A network inside another module that only holds it: Lightning's, a moving average's, a training loop's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Plan
from transfer.checkpoints.keys.layouts import averages, plain_branches
from transfer.checkpoints.keys.rules import Drop, Rule, Strip
from transfer.checkpoints.keys.wrappers import COUNTERS, OUTER

HELD_AS = ("model.", "net.", "network.", "backbone.", "encoder.", "trunk.", "online_model.", "ema_model.")
HOLDERS = tuple(dict.fromkeys((*HELD_AS, *OUTER)))
"""What such modules call the network, in order of preference; wrappers may stand inside of them, too."""

TRUNK = (
    r"(conv1|bn1|layer\d|stem|stages?|blocks?|layers|features|patch_embed|cls_token|pos_embed|norm|encoder|embeddings"
    r"|downsample_layers|res\d)(\..*)?"
)
"""Names that belong to a network, and not to a head or a loss beside it."""

TAKEN_OFF = (
    "the network stands under `{prefix}` inside another module in {where}: the prefix was taken off{beside}. If that "
    "module changes its input or its features, the trunk alone is not what was trained."
)


@dataclass(frozen=True)
class Inside:
    """The contents seen from within `prefix`; `modules` stand beside it."""

    contents: Contents
    prefix: str
    modules: tuple[str, ...]


def insides(contents: Contents) -> Iterator[Inside]:
    """The contents from within each holder that a plain state dict has."""
    branches = (*plain_branches(contents), *averages(contents))
    for prefix in HOLDERS:
        held = [branch for branch in branches if any(name.startswith(prefix) for name in branch.tensors)]
        if held:
            within = {branch.path: _within(branch, prefix) for branch in held}
            modules = {m: None for branch in held for m in _modules(branch, prefix)}
            yield Inside(Contents(contents.raw, within), prefix, tuple(modules))


def _within(branch: Branch, prefix: str) -> Branch:
    names = {name.removeprefix(prefix): tensor for name, tensor in branch.tensors.items() if name.startswith(prefix)}
    return replace(branch, tensors=names)


def _modules(branch: Branch, prefix: str) -> list[str]:
    """First parts of the names beside the prefix that are not a network's: those stay, and do not match."""
    outside = [name for name in branch.tensors if not name.startswith(prefix) and name not in COUNTERS]
    return [name.partition(".")[0] for name in outside if not re.fullmatch(TRUNK, name)]


def seen_from_outside(plan: Plan, inside: Inside, outer: Contents) -> Plan:
    """The plan that was made within, with every tensor beside the holder accounted for."""
    around = _around(inside)
    text = TAKEN_OFF.format(prefix=inside.prefix, where=plan.branch.where, beside=_beside(inside))
    return replace(
        plan,
        branch=outer.branches[plan.branch.path],
        rules=(*around, *plan.rules),
        warnings=(*plan.warnings, text),
    )


def _around(inside: Inside) -> tuple[Rule, ...]:
    counters = Drop("|".join(COUNTERS), "counter of a moving average")
    beside = "|".join(re.escape(module) for module in inside.modules)
    dropped = (Drop(rf"({beside})(\..*)?", f"another module: {inside.prefix[:-1]} was chosen"),) if beside else ()
    return (counters, *dropped, Strip(inside.prefix))


def _beside(inside: Inside) -> str:
    return f", without {', '.join(inside.modules)}" if inside.modules else ""
