"""Sizes by majority: one missing or reshaped tensor must not turn the inferred network into another one.

The exact match that follows then names the one tensor instead of hundreds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]


def most_common(values: Iterable[int], default: int) -> int:
    """The most frequent value, `default` where there is none."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else default


def lengths(shapes: Shapes, pattern: str) -> list[int]:
    """Lengths of the vectors whose names `pattern` matches as a whole."""
    return [shape[0] for name, shape in shapes.items() if len(shape) == 1 and re.fullmatch(pattern, name)]


def of_rank(shapes: Shapes, rank: int, pattern: str) -> list[tuple[int, ...]]:
    """Shapes of `rank` numbers whose names `pattern` matches as a whole."""
    return [shape for name, shape in shapes.items() if len(shape) == rank and re.fullmatch(pattern, name)]


def any_name(shapes: Shapes, pattern: str) -> bool:
    """Whether a name begins with what `pattern` matches."""
    return any(re.match(pattern, name) for name in shapes)


def count(shapes: Shapes, pattern: str) -> int:
    """One more than the highest index that the group of `pattern` matches at the beginning of a name, else 0."""
    found = (re.match(pattern, name) for name in shapes)
    return max((int(match[1]) + 1 for match in found if match), default=0)
