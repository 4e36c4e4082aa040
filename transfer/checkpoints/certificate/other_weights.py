"""A file's other copy of the network as a witness: a momentum encoder or an average is close to what it follows.

Where the copies are alike on the whole, a tensor that is not was put there by other hands; if turning it makes it
alike, the finding says how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch import Tensor

from transfer.checkpoints.keys.family import OtherWeights
from transfer.checkpoints.keys.matching import Matched
from transfer.checkpoints.keys.rules import Source, apply_rules

ALIKE, UNLIKE = 0.9, 0.5
"""Cosines: copies whose median tensor reaches the first are compared, a tensor below the second stands out."""

TURNS: Mapping[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "its input channels are reversed (RGB against BGR)": (4, lambda tensor: tensor.flip(1)),
    "its first two dimensions are exchanged": (2, lambda tensor: tensor.transpose(0, 1)),
    "its height and width are exchanged": (4, lambda tensor: tensor.transpose(2, 3)),
}
"""What may have been done to a tensor, its least number of dimensions, and how to do it."""


def compare_with(other: OtherWeights, matched: Matched) -> dict[str, str]:
    """Canonical name → how this tensor differs from the twin's, for the few that do where most agree."""
    others = apply_rules(other.tensors, other.rules).kept
    pairs = {
        name: (source, others[name]) for name, source in matched.sources.items() if _comparable(name, others, source)
    }
    cosines = {name: cosine(source.value.load(), other.value.load()) for name, (source, other) in pairs.items()}
    if not cosines or median(cosines.values()) < ALIKE:
        return {}
    odd = {name: pairs[name] for name, value in cosines.items() if value < UNLIKE}
    return {name: f"is unlike its copy in {other.label}{_turn(*pair)}" for name, pair in odd.items()}


def _comparable(name: str, others: Mapping[str, Source], source: Source) -> bool:
    """Matrices and kernels: vectors may start at zero in one copy."""
    return name in others and len(source.value.shape) > 1 and source.value.shape == others[name].value.shape


def cosine(one: Tensor, other: Tensor) -> float:
    """Cosine of two tensors of one shape; 1 where both are zero."""
    flat, second = (tensor.detach().float().flatten() for tensor in (one, other))
    norms = float(flat.norm() * second.norm())
    return float(flat @ second) / norms if norms else float(torch.equal(flat, second))


def _turn(source: Source, other: Source) -> str:
    ours, theirs = source.value.load(), other.value.load()
    for text, (dimensions, turn) in TURNS.items():
        if ours.ndim >= dimensions and turn(ours).shape == theirs.shape and cosine(turn(ours), theirs) > ALIKE:
            return f": {text}"
    return ""
