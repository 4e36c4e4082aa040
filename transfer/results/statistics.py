"""Numbers over seeds. Standard library only, so that the board needs nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value, correctly rounded."""
    return statistics.fmean(values)


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (divided by n - 1); None for fewer than two values, which show no spread."""
    return statistics.stdev(values) if len(values) > 1 else None
