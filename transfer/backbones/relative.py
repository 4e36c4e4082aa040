"""Stretch tables of relative position biases to another grid than the trained one (BEiT, Bao et al., 2022).

A table of an `h x w` grid holds a row for each distance, `(2h-1) x (2w-1)` of them, and three more: class token to
patch, patch to class token, class token to itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import interpolate

CLASS_ROWS = 3
STEP = 1e-6
"""Accuracy of the ratio at which BEiT's search stops."""

Grid = tuple[int, int]


def stretch_bias(table: Tensor, trained: Grid, wanted: Grid, way: str = "beit") -> Tensor:
    """Stretch `(trained distances + 3, heads)` to `(wanted distances + 3, heads)`, untouched where the grids agree."""
    if trained == wanted:
        return table
    distances = table[:-CLASS_ROWS].reshape(2 * trained[0] - 1, 2 * trained[1] - 1, -1)
    stretched = BIAS_INTERPOLATIONS[way](distances, trained, wanted)
    return torch.cat([stretched.flatten(0, 1).to(table.dtype), table[-CLASS_ROWS:]])


def _splined(distances: Tensor, trained: Grid, wanted: Grid) -> Tensor:
    """Stretch as BEiT does: a cubic spline through distances that are spread geometrically, near ones least."""
    rows, columns = (_spread(old, new).to(distances.device) for old, new in zip(trained, wanted, strict=True))
    return torch.einsum("yY,xX,YXh->yxh", rows, columns, distances.double())


def _bilinear(distances: Tensor, _trained: Grid, wanted: Grid) -> Tensor:
    """Stretch as Hugging Face does: the table as an image."""
    size = (2 * wanted[0] - 1, 2 * wanted[1] - 1)
    return interpolate(distances.permute(2, 0, 1)[None], size=size, mode="bilinear")[0].permute(1, 2, 0)


BIAS_INTERPOLATIONS: dict[str, Callable[[Tensor, Grid, Grid], Tensor]] = {"beit": _splined, "huggingface": _bilinear}


@lru_cache(maxsize=64)
def _spread(trained: int, wanted: int) -> Tensor:
    """Return weights of trained distances along one side: `(2 wanted - 1, 2 trained - 1)`."""
    ratio = _ratio(trained - 1, wanted - 1)
    right = list(accumulate(ratio**power for power in range(trained - 1)))
    places = torch.tensor([-place for place in reversed(right)] + [0.0] + right, dtype=torch.float64)
    return spline_weights(places, torch.arange(1 - wanted, wanted, dtype=torch.float64))


def _ratio(trained: int, wanted: int) -> float:
    """Bisect for the ratio between 1.01 and 1.5 whose geometric series of `trained` terms reaches `wanted`."""
    low, high = 1.01, 1.5
    ratio = high
    while high - low > STEP:
        ratio = (low + high) / 2
        if (1 - ratio**trained) / (1 - ratio) > wanted:
            high = ratio
        else:
            low = ratio
    return ratio


def spline_weights(places: Tensor, wanted: Tensor) -> Tensor:
    """Return weights `(wanted, places)` of values at rising `places` in the cubic spline through them.

    Not-a-knot at both ends, as FITPACK's; beyond the ends the last value holds. Fewer than four places: the smoothest
    curve through them.
    """
    gaps = places.diff()
    if not len(gaps):
        return torch.ones(len(wanted), 1, dtype=places.dtype)
    bends = _bends(gaps)
    at = wanted.clamp(places[0], places[-1])
    left = (torch.searchsorted(places, at, right=True) - 1).clamp(0, len(gaps) - 1)
    gap, before, after = gaps[left], at - places[left], places[left + 1] - at
    identity = torch.eye(len(places), dtype=places.dtype)
    straight = (after / gap)[:, None] * identity[left] + (before / gap)[:, None] * identity[left + 1]
    first, second = ((part**3 / gap - part * gap)[:, None] / 6 for part in (after, before))
    weights: Tensor = straight + first * bends[left] + second * bends[left + 1]
    return weights


def _bends(gaps: Tensor) -> Tensor:
    """Return second derivatives at the places for unit values there: `(places, places)`."""
    count = len(gaps) + 1
    system, values = (torch.zeros(count, count, dtype=gaps.dtype) for _ in range(2))
    for place in range(1, count - 1):
        before, after = gaps[place - 1], gaps[place]
        system[place, place - 1 : place + 2] = torch.stack([before, 2 * (before + after), after])
        values[place, place - 1 : place + 2] = 6 * torch.stack([1 / before, -1 / before - 1 / after, 1 / after])
    if count > 2:
        for end, (before, after) in ((0, (gaps[0], gaps[1])), (count - 3, (gaps[-2], gaps[-1]))):
            row = 0 if end == 0 else count - 1
            system[row, end : end + 3] += torch.stack([after, -before - after, before])
    bends: Tensor = torch.linalg.pinv(system) @ values
    return bends
