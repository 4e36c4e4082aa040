"""Confidence by resampling (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfer.errors import BadOption


def bootstrap_interval(
    values: Sequence[float], *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` (n,) at confidence `level`, the same for the same seed."""
    if not values or not 0 < level < 1 or draws < 1:
        raise BadOption(f"expected values, 0 < level < 1, draws > 0; got {len(values)} values, {level}, {draws}.")
    sample, generator = np.asarray(values, np.float64), np.random.default_rng(seed)
    means = [sample[generator.integers(len(sample), size=len(sample))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
