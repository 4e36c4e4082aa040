from __future__ import annotations

import numpy as np
import pytest

from transfer.errors import BadOption
from transfer.results.bootstrap import bootstrap_interval


def test_agrees_with_the_normal_interval():
    values = np.random.default_rng(1).normal(0.4, 0.1, 400).tolist()
    half = 1.96 * np.std(values) / 400**0.5
    low, high = bootstrap_interval(values)
    assert (low, high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=half / 5)


def test_same_seed_same_interval_and_wider_at_higher_level():
    values = [0.1, 0.4, 0.2, 0.9]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(("values", "options"), [([], {}), ([1.0], {"level": 1.0}), ([1.0], {"draws": 0})])
def test_impossible_options(values, options):
    with pytest.raises(BadOption):
        bootstrap_interval(values, **options)
