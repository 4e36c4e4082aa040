"""What parallel training, compilation and sharding put into the names of a state dict, taken out again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

OUTER = ("module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.", "_fpw_module.", "model.")
"""Put before every name by DistributedDataParallel, torch.compile, Fabric, FSDP and Lightning, in any nesting."""

INNER = r"(?<=\.)(?:_fsdp_wrapped_module|_fpw_module|_checkpoint_wrapped_module|_orig_mod)\."
"""Put into the middle of names where blocks are sharded, recomputed or compiled by themselves."""

COUNTERS = ("n_averaged", "steps", "step", "initted", "num_updates", "decay")
"""Single numbers that moving averages keep beside `module.*` (torch, mmengine, ema_pytorch)."""


def unwrapped(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Strip wrapper prefixes that all names share, and wrappers inside names; also what all names began with."""
    names, wrapper = dict(tensors), ""
    while prefix := next((prefix for prefix in OUTER if is_shared(names, prefix)), None):
        names = {name.removeprefix(prefix): tensor for name, tensor in names.items()}
        wrapper += prefix
    inner = {name: _without_inner(name) for name in names}
    if len(set(inner.values())) < len(names) or _partly(names):
        return names, wrapper
    return {inner[name]: tensor for name, tensor in names.items()}, wrapper


def is_shared(names: Iterable[str], prefix: str) -> bool:
    """Whether every name but those of counters begins with `prefix`."""
    rest = [name for name in names if name not in COUNTERS]
    return bool(rest) and all(name.startswith(prefix) for name in rest)


def _without_inner(name: str) -> str:
    shorter = re.sub(INNER, "", name)
    return shorter if shorter == name else _without_inner(shorter)


def _partly(names: Iterable[str]) -> bool:
    """Whether a block has names inside and outside of its wrapper: no module is wrapped by half."""
    wrapped = {(name[: found.start()], found[0]) for name in names for found in re.finditer(INNER, name)}
    return any(name.startswith(block) and not name.startswith(block + w) for block, w in wrapped for name in names)


def inner_wrappers(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The wrappers inside names, each once."""
    return tuple(sorted({found[0] for name in tensors for found in re.finditer(INNER, name)}))
