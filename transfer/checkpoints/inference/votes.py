"""Read sizes by majority: one missing or reshaped tensor must not turn the inferred network into another one.

The exact match that follows then names the one tensor instead of hundreds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from transfer.errors import WeightMismatch

Shapes = Mapping[str, tuple[int, ...]]


def most_common(values: Iterable[int], default: int) -> int:
    """Return the most frequent value, `default` where there is none."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else default


def lengths(shapes: Shapes, pattern: str) -> list[int]:
    """Return the lengths of the vectors whose names `pattern` matches as a whole."""
    return [shape[0] for name, shape in shapes.items() if len(shape) == 1 and re.fullmatch(pattern, name)]


def of_rank(shapes: Shapes, rank: int, pattern: str) -> list[tuple[int, ...]]:
    """Return the shapes of `rank` dimensions whose names `pattern` matches as a whole."""
    return [shape for name, shape in shapes.items() if len(shape) == rank and re.fullmatch(pattern, name)]


def any_name(shapes: Shapes, pattern: str) -> bool:
    """Return whether a name begins with what `pattern` matches."""
    return any(re.match(pattern, name) for name in shapes)


def count(shapes: Shapes, pattern: str) -> int:
    """Return one more than the highest index that the group of `pattern` matches where a name begins, else 0."""
    found = (re.match(pattern, name) for name in shapes)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def stage_depths(shapes: Shapes, network: str, patterns: dict[str, str]) -> list[int]:
    """Return the blocks per stage; `patterns` maps a stage's prefix to a pattern whose group is the number of a block.

    Raises WeightMismatch that names the stages without a tensor.
    """
    depths = {stage: count(shapes, pattern) for stage, pattern in patterns.items()}
    missing = [f"  - {stage}.*" for stage, depth in depths.items() if not depth]
    if missing:
        raise WeightMismatch(
            f"a {network}'s backbone has {len(patterns)} stages; without a tensor in the file:\n"
            + "\n".join(missing)
            + f"\nClosest names: {', '.join(list(shapes)[-4:])}. Only a whole backbone can be evaluated."
        )
    return list(depths.values())
