"""Networks nested in another module that only holds them: Lightning's, a moving average's, a training loop's own.

`nn.Module` gives the names of a network that it holds a prefix, `model.conv1.weight`, and a family that knows
`conv1.weight` does not recognise these. So a file that no family recognises is looked at again from within each prefix
that may hold a network, and from there again, as often as modules are nested. The plan made within is then rewritten
for the whole state dict: other modules next to the network are dropped with a reason. Names that could be the network's
own are not, so that a network with one half inside and the other outside does not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Plan
from transfer.checkpoints.keys.layouts import averages, generic_state_dicts
from transfer.checkpoints.keys.rules import Drop, RemovePrefix, Rule
from transfer.checkpoints.keys.wrappers import COUNTERS, OUTER

HELD_AS = ("model.", "net.", "network.", "backbone.", "encoder.", "trunk.", "online_model.", "ema_model.")
HOLDERS = tuple(dict.fromkeys((*HELD_AS, *OUTER)))
"""Prefixes under which such modules hold a network, in order of preference; wrappers may be inside of them, too."""

BACKBONE = (
    r"(conv1|bn1|layer\d|stem|stages?|blocks?|layers|features|patch_embed|cls_token|pos_embed|norm|encoder|embeddings"
    r"|downsample_layers|res\d)(\..*)?"
)
"""Names that belong to a network, and not to a head or a loss next to it."""

TAKEN_OFF = (
    "the network stands under `{prefix}` inside another module in {where}: the prefix was taken off{without}. If that "
    "module changes its input or its features, the backbone alone is not what was trained."
)


@dataclass(frozen=True)
class Nested:
    """The contents seen from within `prefix`; `modules` are the others next to it."""

    contents: Contents
    prefix: str
    modules: tuple[str, ...]


def nested_modules(contents: Contents) -> Iterator[Nested]:
    """Yield the contents from within each prefix of `HOLDERS` that a state dict under generic keys has."""
    state_dicts = (*generic_state_dicts(contents), *averages(contents))
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
    """Return modules outside of the prefix; names that may be the network's are none of them, and will not match."""
    outside = [name for name in state_dict.tensors if not name.startswith(prefix) and name not in COUNTERS]
    return [name.partition(".")[0] for name in outside if not re.fullmatch(BACKBONE, name)]


def seen_from_outside(plan: Plan, nested: Nested, outer: Contents) -> Plan:
    """Return the plan that was made within for the whole state dict, with the other modules accounted for."""
    without = f", without {', '.join(nested.modules)}" if nested.modules else ""
    text = TAKEN_OFF.format(prefix=nested.prefix, where=plan.state_dict.where, without=without)
    return replace(
        plan,
        state_dict=outer.state_dicts[plan.state_dict.path],
        rules=(*_outer_rules(nested), *plan.rules),
        warnings=(*plan.warnings, text),
    )


def _outer_rules(nested: Nested) -> tuple[Rule, ...]:
    counters = Drop("|".join(COUNTERS), "counter of a moving average")
    others = "|".join(re.escape(module) for module in nested.modules)
    dropped = (Drop(rf"({others})(\..*)?", f"another module: {nested.prefix[:-1]} was chosen"),) if others else ()
    return (counters, *dropped, RemovePrefix(nested.prefix))
