"""Compare a file's other weights with the chosen ones: a momentum encoder or an average is close to what it follows.

Where the two are alike on the whole, a tensor that is not was changed after training; if transposing or reversing it
makes it alike, the finding says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch import Tensor

from transfer.checkpoints.keys.matching import Matched
from transfer.checkpoints.keys.rules import Source, apply_rules
from transfer.checkpoints.keys.weights import Weights

ALIKE, UNLIKE = 0.9, 0.5
"""Cosines: weights whose median tensor reaches the first are compared, a tensor below the second stands out."""

CHANGES: Mapping[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "its input channels are reversed (RGB against BGR)": (4, lambda tensor: tensor.flip(1)),
    "its first two dimensions are exchanged": (2, lambda tensor: tensor.transpose(0, 1)),
    "its height and width are exchanged": (4, lambda tensor: tensor.transpose(2, 3)),
}
"""A change that may have been made to a tensor → its least number of dimensions, and the change."""


def compare_with(label: str, other: Weights, matched: Matched) -> dict[str, str]:
    """Return canonical name → how this tensor differs in the weights called `label`, for the few where most agree."""
    others = apply_rules(other.state_dict.tensors, other.rules).sources
    pairs = {
        name: (source, others[name]) for name, source in matched.sources.items() if _comparable(name, others, source)
    }
    cosines = {name: cosine(source.value.load(), other.value.load()) for name, (source, other) in pairs.items()}
    if not cosines or median(cosines.values()) < ALIKE:
        return {}
    unlike = {name: pairs[name] for name, value in cosines.items() if value < UNLIKE}
    return {name: f"is unlike its counterpart in the {label}{_change(*pair)}" for name, pair in unlike.items()}


def _comparable(name: str, others: Mapping[str, Source], source: Source) -> bool:
    """Return whether two tensors are matrices or kernels of one shape: vectors may start at zero in one network."""
    return name in others and len(source.value.shape) > 1 and source.value.shape == others[name].value.shape


def cosine(one: Tensor, other: Tensor) -> float:
    """Return the cosine of two tensors of one shape; 1 where both are zero."""
    flat, second = (tensor.detach().float().flatten() for tensor in (one, other))
    norms = float(flat.norm() * second.norm())
    return float(flat @ second) / norms if norms else float(torch.equal(flat, second))


def _change(source: Source, other: Source) -> str:
    ours, theirs = source.value.load(), other.value.load()
    for text, (dimensions, change) in CHANGES.items():
        if ours.ndim >= dimensions and change(ours).shape == theirs.shape and cosine(change(ours), theirs) > ALIKE:
            return f": {text}"
    return ""
