"""Tensors that are not read yet: shape and dtype are known, `load()` reads the elements.

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
    """A tensor that is not read yet.

    `load()` reads it; what it returns may share memory with the file and must not be written to. `fault` says why an
    operation did not fit: such a value fills nothing.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]
    fault: str | None = None

    def then(self, function: Callable[[Tensor], Tensor], what: str) -> Value:
        """Return `function` of this value, with a fault if it does not fit; `what` names the operation for people."""
        return combined((self,), lambda tensors: function(tensors[0]), what)


def stored(tensor: Tensor) -> Value:
    """Return the value of a tensor of the file as it is."""
    return Value(tuple(tensor.shape), tensor.dtype, tensor.detach)


def combined(values: Sequence[Value], function: Callable[[list[Tensor]], Tensor], what: str) -> Value:
    """Return one value from several; where `function` does not fit their shapes, the first one with a fault."""
    first = values[0]
    # tried on tensors without storage: that tells the shape, or the misfit, before anything is read
    try:
        outline = function([torch.empty(value.shape, dtype=value.dtype, device="meta") for value in values])
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        shapes = ", ".join(str(value.shape) for value in values)
        return Value(
            first.shape, first.dtype, first.load, f"{what} does not fit {shapes}: {str(error).splitlines()[0]}"
        )
    fault = next((value.fault for value in values if value.fault), None)
    return Value(tuple(outline.shape), outline.dtype, lambda: function([value.load() for value in values]), fault)
