"""What a checkpoint's tree contains: state dicts by their path, without the wrappers of parallel training."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from transfer.checkpoints.reading import RawCheckpoint
from transfer.errors import UnreadableCheckpoint, WeightMismatch

WRAPPERS = ("module.", "_orig_mod.", "_forward_module.", "model.")
"""Put before every name by DistributedDataParallel, torch.compile and Lightning, in any nesting."""

INNER_WRAPPERS = r"(?<![^.])(_fsdp_wrapped_module|_fpw_module|_checkpoint_wrapped_module|_orig_mod)\."
"""Put into the middle of names by sharding, activation checkpoints and torch.compile of single blocks."""

EMA_COUNTER = "n_averaged"
"""torch's AveragedModel keeps its counter beside `module.*`."""

DEEPEST = 5
STATE_DICT_KEYS = ("state_dict", "model", "model_state_dict", "teacher", "student")
ARCH_KEYS = ("arch", "model", "model_name", "architecture")
TIMM_KEYS = {"pretrained_cfg", "model_args", "architecture"}


@dataclass(frozen=True)
class Branch:
    """One state dict: `path` leads to it in the tree (`""` is the root), `tensors` by name without wrappers.

    `wrapper` is what was stripped from the beginning of every name; `parts` are the paths of the state dicts of which
    it was put together, where it was.
    """

    path: str
    tensors: Mapping[str, Tensor]
    wrapper: str = ""
    parts: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The path for people."""
        return f"`{self.path}`" if self.path else "the root"


def _decoys(tree: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(key for key, value in tree.items() if key in STATE_DICT_KEYS and value == {})


@dataclass(frozen=True)
class Contents:
    """A checkpoint laid out for identification: its state dicts, and what it says about itself."""

    raw: RawCheckpoint
    branches: Mapping[str, Branch]

    @property
    def keys(self) -> frozenset[str]:
        """Top-level keys."""
        return frozenset(key for key in self.raw.tree if isinstance(key, str))

    @property
    def args(self) -> Mapping[str, Any]:
        """The training script's options, empty where none were saved."""
        args = self.raw.tree.get("args")
        return args if isinstance(args, Mapping) else {}

    @property
    def timm_config(self) -> Mapping[str, Any]:
        """`config.json` beside the weights if it is timm's, else empty."""
        return self.raw.config if TIMM_KEYS & self.raw.config.keys() else {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks odd about the file whatever its family."""
        return tuple(f"`{key}` is empty: the weights elsewhere in the file were used" for key in _decoys(self.raw.tree))

    @property
    def arch(self) -> str | None:
        """The architecture that the file claims for itself."""
        sources = (self.raw.tree, self.args, self.raw.config)
        names = (source.get(key) for source in sources for key in ARCH_KEYS)
        return next((name for name in names if isinstance(name, str)), None)


def contents_of(raw: RawCheckpoint) -> Contents:
    """Find every state dict in the tree. Raises UnreadableCheckpoint if there is none."""
    branches = {path: Branch(path, *unwrapped(tensors)) for path, tensors in _state_dicts(raw.tree)}
    if not branches:
        held = ", ".join(f"{key} ({type(value).__name__})" for key, value in list(raw.tree.items())[:8])
        raise UnreadableCheckpoint(
            f"{raw.path} holds no tensors: expected a state dict at the root or under a key such as state_dict, model "
            f"or teacher; found {held or 'an empty dictionary'}. Save model.state_dict() with its weights."
        )
    return Contents(raw, branches)


def _state_dicts(tree: Mapping[Any, Any]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Breadth first; each mapping once, so that a tree which contains itself ends."""
    queue: list[tuple[str, int, Mapping[Any, Any]]] = [("", 0, tree)]
    seen = {id(tree)}
    while queue:
        path, depth, node = queue.pop(0)
        tensors = {key: value for key, value in node.items() if isinstance(key, str) and isinstance(value, Tensor)}
        if tensors:
            yield path, tensors
        if modules := _modules(node):
            yield path, modules
            continue
        for key, value in node.items():
            if isinstance(key, str) and isinstance(value, Mapping) and id(value) not in seen and depth < DEEPEST:
                seen.add(id(value))
                queue.append((f"{path}.{key}" if path else key, depth + 1, value))


def _modules(node: Mapping[Any, Any]) -> dict[str, Tensor]:
    """haiku's state: module → parameter → tensor, as one state dict; empty for anything else."""
    modules = {key: value for key, value in node.items() if isinstance(key, str) and isinstance(value, Mapping)}
    if len(modules) < len(node) or not any("/~/" in key for key in modules):
        return {}
    tensors = {f"{key}/{name}": value for key, module in modules.items() for name, value in module.items()}
    return tensors if all(isinstance(value, Tensor) for value in tensors.values()) else {}


def unwrapped(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Strip wrapper prefixes that all names share, and wrappers inside names; also what all names began with."""
    names = {re.sub(INNER_WRAPPERS, "", name): tensor for name, tensor in tensors.items()}
    names = dict(tensors) if len(names) < len(tensors) else names
    wrapper = ""
    while prefix := next((w for w in WRAPPERS if _shared(names, w)), None):
        names = {name.removeprefix(prefix): tensor for name, tensor in names.items()}
        wrapper += prefix
    return names, wrapper


def _shared(names: Mapping[str, Tensor], prefix: str) -> bool:
    rest = [name for name in names if name != EMA_COUNTER]
    return bool(rest) and all(name.startswith(prefix) for name in rest)


def refuse_mixed_wrappers(branch: Branch, source: str) -> None:
    """Raise WeightMismatch if some names, but not all, are inside a wrapper: two networks in one state dict."""
    for prefix in WRAPPERS[:3]:
        inside = [name for name in branch.tensors if name.startswith(prefix)]
        outside = [name for name in branch.tensors if not name.startswith(prefix)]
        if inside and outside:
            raise WeightMismatch(
                f"{source}: {branch.where} mixes prefixes: {len(inside)} of {len(branch.tensors)} names are under "
                f"{prefix} and {len(outside)} are not:\n"
                + "\n".join(f"  + {name}" for name in [*inside[:10], *outside[:10]])
                + "\nThey may belong to two networks. Write one network's weights under one prefix."
            )
