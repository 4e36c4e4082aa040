"""A network inside another module that only holds it: Lightning's, a moving average's, a training loop's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Plan
from transfer.checkpoints.keys.layouts import averages, plain_state_dicts
from transfer.checkpoints.keys.rules import Drop, RemovePrefix, Rule
from transfer.checkpoints.keys.wrappers import COUNTERS, OUTER

HELD_AS = ("model.", "net.", "network.", "backbone.", "encoder.", "trunk.", "online_model.", "ema_model.")
HOLDERS = tuple(dict.fromkeys((*HELD_AS, *OUTER)))
"""What such modules call the network, in order of preference; wrappers may stand inside of them, too."""

BACKBONE = (
    r"(conv1|bn1|layer\d|stem|stages?|blocks?|layers|features|patch_embed|cls_token|pos_embed|norm|encoder|embeddings"
    r"|downsample_layers|res\d)(\..*)?"
)
"""Names that belong to a network, and not to a head or a loss beside it."""

TAKEN_OFF = (
    "the network stands under `{prefix}` inside another module in {where}: the prefix was taken off{beside}. If that "
    "module changes its input or its features, the backbone alone is not what was trained."
)


@dataclass(frozen=True)
class Nested:
    """The contents seen from within `prefix`; `modules` stand beside it."""

    contents: Contents
    prefix: str
    modules: tuple[str, ...]


def nested_modules(contents: Contents) -> Iterator[Nested]:
    """The contents from within each holder that a plain state dict has."""
    state_dicts = (*plain_state_dicts(contents), *averages(contents))
    for prefix in HOLDERS:
        held = [state_dict for state_dict in state_dicts if any(name.startswith(prefix) for name in state_dict.tensors)]
        if held:
            within = {state_dict.path: _within(state_dict, prefix) for state_dict in held}
            modules = {m: None for state_dict in held for m in _modules(state_dict, prefix)}
            yield Nested(Contents(contents.raw, within), prefix, tuple(modules))


def _within(state_dict: StateDict, prefix: str) -> StateDict:
    names = {
        name.removeprefix(prefix): tensor for name, tensor in state_dict.tensors.items() if name.startswith(prefix)
    }
    return replace(state_dict, tensors=names)


def _modules(state_dict: StateDict, prefix: str) -> list[str]:
    """First parts of the names beside the prefix that are not a network's: those stay, and do not match."""
    outside = [name for name in state_dict.tensors if not name.startswith(prefix) and name not in COUNTERS]
    return [name.partition(".")[0] for name in outside if not re.fullmatch(BACKBONE, name)]


def seen_from_outside(plan: Plan, nested: Nested, outer: Contents) -> Plan:
    """The plan that was made within, with every tensor beside the holder accounted for."""
    around = _around(nested)
    text = TAKEN_OFF.format(prefix=nested.prefix, where=plan.state_dict.where, beside=_beside(nested))
    return replace(
        plan,
        state_dict=outer.state_dicts[plan.state_dict.path],
        rules=(*around, *plan.rules),
        warnings=(*plan.warnings, text),
    )


def _around(nested: Nested) -> tuple[Rule, ...]:
    counters = Drop("|".join(COUNTERS), "counter of a moving average")
    beside = "|".join(re.escape(module) for module in nested.modules)
    dropped = (Drop(rf"({beside})(\..*)?", f"another module: {nested.prefix[:-1]} was chosen"),) if beside else ()
    return (counters, *dropped, RemovePrefix(nested.prefix))


def _beside(nested: Nested) -> str:
    return f", without {', '.join(nested.modules)}" if nested.modules else ""
