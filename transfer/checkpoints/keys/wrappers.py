"""Remove what parallel training, compilation and sharding put into the names of a state dict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

OUTER = ("module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.", "_fpw_module.", "model.")
"""Prefixes that DistributedDataParallel, torch.compile, Fabric, FSDP and Lightning give every name, in any nesting."""

INNER = r"(?<=\.)(?:_fsdp_wrapped_module|_fpw_module|_checkpoint_wrapped_module|_orig_mod)\."
"""Components in the middle of names where blocks are sharded, recomputed or compiled by themselves."""

COUNTERS = ("n_averaged", "steps", "step", "initted", "num_updates", "decay")
"""Scalars that moving averages keep next to `module.*` (torch, mmengine, ema_pytorch)."""


def unwrapped(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Remove prefixes of wrappers that all names share, and wrappers inside names; return also the removed prefix."""
    names, wrapper = dict(tensors), ""
    while prefix := next((prefix for prefix in OUTER if is_shared(names, prefix)), None):
        names = {name.removeprefix(prefix): tensor for name, tensor in names.items()}
        wrapper += prefix
    inner = {name: _without_inner(name) for name in names}
    # two names that would become one, or a block wrapped by half, are two networks: leave them for the match to refuse
    if len(set(inner.values())) < len(names) or _partly(names):
        return names, wrapper
    return {inner[name]: tensor for name, tensor in names.items()}, wrapper


def is_shared(names: Iterable[str], prefix: str) -> bool:
    """Return whether every name but those of counters begins with `prefix`."""
    rest = [name for name in names if name not in COUNTERS]
    return bool(rest) and all(name.startswith(prefix) for name in rest)


def _without_inner(name: str) -> str:
    shorter = re.sub(INNER, "", name)
    return shorter if shorter == name else _without_inner(shorter)


def _partly(names: Iterable[str]) -> bool:
    """Return whether a block has names inside and outside of its wrapper: no module is wrapped by half."""
    wrapped = {(name[: found.start()], found[0]) for name in names for found in re.finditer(INNER, name)}
    return any(name.startswith(block) and not name.startswith(block + w) for block, w in wrapped for name in names)


def inner_wrappers(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the wrappers inside names, each once."""
    return tuple(sorted({found[0] for name in tensors for found in re.finditer(INNER, name)}))
