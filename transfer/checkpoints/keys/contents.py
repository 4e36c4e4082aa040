"""The contents of a checkpoint's tree: state dicts by their path, without the wrappers of parallel training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from transfer.checkpoints.keys.wrappers import OUTER, inner_wrappers, unwrapped
from transfer.checkpoints.reading.checkpoint import RawCheckpoint
from transfer.errors import UnreadableCheckpoint, WeightMismatch

FLAT = r"(.*\.)?_?flat_param(_\d+)?"
"""Names of parameters that FSDP has flattened and put into one tensor."""

NAMELESS = r"(.*\.)?(shadow|ema)\w*"
"""Keys under which moving averages keep lists of tensors."""

DEEPEST = 5
STATE_DICT_KEYS = ("state_dict", "model", "model_state_dict", "teacher", "student")
ARCH_KEYS = ("arch", "model", "model_name", "architecture")
TIMM_KEYS = {"pretrained_cfg", "model_args", "architecture"}


@dataclass(frozen=True)
class StateDict:
    """A state dict: `path` leads to it in the tree (`""` is the root), `tensors` by name without wrappers.

    `wrapper` was removed from the beginning of every name, `inner` from the middle of some; `parts` are the paths of
    the state dicts of which it was put together, where it was.
    """

    path: str
    tensors: Mapping[str, Tensor]
    wrapper: str = ""
    parts: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The path as messages show it."""
        return f"`{self.path}`" if self.path else "the root"


# fmt: off
RESIZING = frozenset((
    "layers", "channels", "depths", "dims", "stem_chs", "stem_width", "embed_dim", "depth", "num_heads", "patch_size",
    "window_size", "mlp_ratio", "reg_tokens", "class_token", "kernel_sizes", "use_grn", "cardinality", "base_width",
))
# fmt: on
"""Arguments in timm's config.json that make a network of another size than the name there says."""


def _empty_weights(tree: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(key for key, value in tree.items() if key in STATE_DICT_KEYS and value == {})


@dataclass(frozen=True)
class Contents:
    """A checkpoint laid out for identification: its state dicts, and what it says about itself."""

    raw: RawCheckpoint
    state_dicts: Mapping[str, StateDict]

    def first(self, accepts: Callable[[StateDict], Any]) -> StateDict | None:
        """Return the first state dict that is accepted, None if there is none."""
        return next((state_dict for state_dict in self.state_dicts.values() if accepts(state_dict)), None)

    @property
    def keys(self) -> frozenset[str]:
        """Top-level keys."""
        return frozenset(key for key in self.raw.tree if isinstance(key, str))

    @property
    def by_lightning(self) -> bool:
        """True if Lightning's trainer wrote the file: projects with loops of their own did not."""
        return "pytorch-lightning_version" in self.raw.tree

    @property
    def args(self) -> Mapping[str, Any]:
        """The training script's options, empty where none were saved."""
        args = self.raw.tree.get("args")
        return args if isinstance(args, Mapping) else {}

    @property
    def meta(self) -> Mapping[str, Any]:
        """The entries of `meta`, which mmcv's and mmengine's runners write, empty where there are none."""
        meta = self.raw.tree.get("meta")
        return meta if isinstance(meta, Mapping) else {}

    @property
    def timm_config(self) -> Mapping[str, Any]:
        """`config.json` next to the weights if it is timm's, else empty."""
        return self.raw.config if TIMM_KEYS & self.raw.config.keys() else {}

    @property
    def timm_args(self) -> Mapping[str, Any]:
        """The arguments in timm's config.json for the architecture's builder, empty where there are none."""
        args = self.timm_config.get("model_args")
        return args if isinstance(args, Mapping) else {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the file whatever its family: empty state dicts, moving averages without names."""
        return (
            *(
                f"`{key}` is empty: the weights elsewhere in the file were used"
                for key in _empty_weights(self.raw.tree)
            ),
            *(
                f"`{path}` is a moving average without names, which cannot be used: it was left out"
                for path in nameless_averages(self.raw.tree)
            ),
        )

    @property
    def arch(self) -> str | None:
        """The architecture that the file claims for itself."""
        sources = (self.raw.tree, self.args, self.raw.config if RESIZING.isdisjoint(self.timm_args) else {})
        names = (source.get(key) for source in sources for key in ARCH_KEYS)
        return next((name for name in names if isinstance(name, str)), None)


def contents_of(raw: RawCheckpoint) -> Contents:
    """Find every state dict in the tree. Raises UnreadableCheckpoint if there is none, or only a part of one."""
    state_dicts = {path: _state_dict(path, tensors) for path, tensors in _state_dicts(raw.tree)}
    for state_dict in state_dicts.values():
        _refuse_partitioned(state_dict, raw.path.name)
    if not state_dicts and (nameless := nameless_averages(raw.tree)):
        raise UnreadableCheckpoint(
            f"{raw.path} holds tensors without names under `{nameless[0]}`, a moving average as torch_ema saves it: "
            "which tensor is which cannot be told. Copy it into the model (ema.copy_to(model.parameters())) and save "
            "model.state_dict()."
        )
    if not state_dicts:
        held = ", ".join(f"{key} ({type(value).__name__})" for key, value in list(raw.tree.items())[:8])
        raise UnreadableCheckpoint(
            f"{raw.path} holds no tensors: expected a state dict at the root or under a key such as state_dict, model "
            f"or teacher; found {held or 'an empty dictionary'}. Save model.state_dict() with its weights."
        )
    return Contents(raw, state_dicts)


def _state_dict(path: str, tensors: Mapping[str, Tensor]) -> StateDict:
    names, wrapper = unwrapped(tensors)
    return StateDict(path, names, wrapper, inner=inner_wrappers(tensors))


def _refuse_partitioned(state_dict: StateDict, source: str) -> None:
    """Raise UnreadableCheckpoint for one process's share of weights: pieces without names or shapes."""
    flat = next((name for name in state_dict.tensors if re.fullmatch(FLAT, name)), None)
    empty = [name for name, tensor in state_dict.tensors.items() if tuple(tensor.shape) == (0,)]
    if flat or 2 * len(empty) > len(state_dict.tensors):
        raise UnreadableCheckpoint(
            f"{source}: {state_dict.where} holds {flat or f'empty tensors such as {empty[0]}'}: the weights were cut "
            "into pieces for several processes (FSDP, DeepSpeed ZeRO-3). Put them together first: FSDP's "
            "FULL_STATE_DICT, DeepSpeed's zero_to_fp32.py, or Accelerate's merge-weights."
        )


def nameless_averages(tree: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the paths of moving averages that are lists of tensors (torch_ema)."""
    flat = {key: value for key, value in tree.items() if isinstance(key, str)}
    inner = {
        f"{key}.{name}": v for key, value in flat.items() if isinstance(value, Mapping) for name, v in value.items()
    }
    return tuple(path for path, value in (flat | inner).items() if re.fullmatch(NAMELESS, path) and _is_list(value))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 1 and all(isinstance(item, Tensor) for item in value)


def _state_dicts(tree: Mapping[Any, Any]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Find state dicts breadth first, each mapping once, so that a tree which contains itself ends."""
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
    """Return haiku's state (module → parameter → tensor) as one state dict; empty for anything else."""
    modules = {key: value for key, value in node.items() if isinstance(key, str) and isinstance(value, Mapping)}
    if len(modules) < len(node) or not any("/~/" in key for key in modules):
        return {}
    tensors = {f"{key}/{name}": value for key, module in modules.items() for name, value in module.items()}
    return tensors if all(isinstance(value, Tensor) for value in tensors.values()) else {}


def refuse_mixed_wrappers(state_dict: StateDict, source: str) -> None:
    """Raise WeightMismatch if some names, but not all, are inside a wrapper: two networks in one state dict."""
    for prefix in OUTER[:-1]:
        inside = [name for name in state_dict.tensors if name.startswith(prefix)]
        outside = [name for name in state_dict.tensors if not name.startswith(prefix)]
        if inside and outside:
            raise WeightMismatch(
                f"{source}: {state_dict.where} mixes prefixes: {len(inside)} of {len(state_dict.tensors)} names are "
                f"under {prefix} and {len(outside)} are not:\n"
                + "\n".join(f"  + {name}" for name in [*inside[:10], *outside[:10]])
                + "\nThey may belong to two networks. Write one network's weights under one prefix."
            )
