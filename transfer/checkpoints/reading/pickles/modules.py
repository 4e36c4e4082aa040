"""Turn pickled networks into state dicts: their classes are not loaded, but their attributes are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from transfer.checkpoints.reading.pickles.inert import Inert
from transfer.checkpoints.reading.pickles.keys import refuse

MOST_TENSORS = 200_000
DEEPEST_MODULE = 200
DEEPEST_TREE = 4


def with_state_dicts(tree: Any, depth: int = DEEPEST_TREE) -> Any:
    """Return `tree` with each torch.nn.Module that stands under names replaced by its state dict."""
    if _is_module(tree):
        return state_dict(tree)
    if depth and isinstance(tree, dict) and any(isinstance(value, Mapping) for value in tree.values()):
        return {key: with_state_dicts(value, depth - 1) for key, value in tree.items()}
    return tree


def _is_module(value: Any) -> bool:
    return isinstance(value, Inert) and isinstance(value.get("_parameters"), dict) and "_modules" in value


def state_dict(module: Inert) -> dict[str, Tensor]:
    """Return what `module.state_dict()` would: parameters and persistent buffers by their dotted names."""
    return _bounded(_named(module, "", DEEPEST_MODULE))


def script_state_dict(module: Inert) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript module by their dotted names: its attributes are not told apart."""
    return _bounded(_attributes(module, "", DEEPEST_MODULE))


def _bounded(named: Iterator[tuple[str, Tensor | None]]) -> dict[str, Tensor]:
    """Collect tensors, but refuse endless names: a few modules that are shared could have them.

    Modules without tensors count, too.
    """
    found: dict[str, Tensor] = {}
    for count, (name, tensor) in enumerate(named):
        if count > MOST_TENSORS:
            refuse(f"holds a network of more than {MOST_TENSORS:,} tensors")
        if tensor is not None:
            found[name] = tensor
    return found


def _named(module: Inert, prefix: str, depth: int) -> Iterator[tuple[str, Tensor | None]]:
    skipped = module.get("_non_persistent_buffers_set", ())
    buffers = {name: value for name, value in _dict(module, "_buffers").items() if name not in skipped}
    yield prefix, None
    for name, value in [*_dict(module, "_parameters").items(), *buffers.items()]:
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
    for name, child in _dict(module, "_modules").items():
        if isinstance(child, Inert):
            yield from _named(child, f"{prefix}{name}.", _deeper(depth))


def _attributes(module: Inert, prefix: str, depth: int) -> Iterator[tuple[str, Tensor | None]]:
    yield prefix, None
    for name, value in module.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
    for name, child in module.items():
        if isinstance(child, Inert):
            yield from _attributes(child, f"{prefix}{name}.", _deeper(depth))


def _dict(module: Inert, name: str) -> Mapping[Any, Any]:
    value = module.get(name)
    return value if isinstance(value, Mapping) else {}


def _deeper(depth: int) -> int:
    if depth == 0:
        refuse(f"holds modules more than {DEEPEST_MODULE} deep in one another")
    return depth - 1
