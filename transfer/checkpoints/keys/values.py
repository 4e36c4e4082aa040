"""Tensors that are not read yet: shape and dtype are known, the numbers come when they are asked for.

Rules act on them, so that a file is listed, checked and renamed without touching its weights, and a conversion holds
one tensor at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Value:
    """A tensor to come.

    `load()` makes it; what it returns may share memory with the file and must not be written to. `fault` says why an
    operation did not fit: such a value fills nothing.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]
    fault: str | None = None

    def then(self, function: Callable[[Tensor], Tensor], what: str) -> Value:
        """`function` of this value; `what` names it for people. A value that does not fit comes back with a fault."""
        return combined((self,), lambda tensors: function(tensors[0]), what)


def stored(tensor: Tensor) -> Value:
    """A tensor of the file."""
    return Value(tuple(tensor.shape), tensor.dtype, tensor.detach)


def combined(values: Sequence[Value], function: Callable[[list[Tensor]], Tensor], what: str) -> Value:
    """One value from several. Shapes are tried on tensors without storage; the first value stands in for a misfit."""
    first = values[0]
    try:
        outline = function([torch.empty(value.shape, dtype=value.dtype, device="meta") for value in values])
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        shapes = ", ".join(str(value.shape) for value in values)
        return Value(
            first.shape, first.dtype, first.load, f"{what} does not fit {shapes}: {str(error).splitlines()[0]}"
        )
    fault = next((value.fault for value in values if value.fault), None)
    return Value(tuple(outline.shape), outline.dtype, lambda: function([value.load() for value in values]), fault)
