from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.results.statistics import deviation, mean

shares = st.floats(0, 1)


@given(st.lists(shares, min_size=2, max_size=5))
def test_two_pass_definition(values):
    centre = sum(values) / len(values)
    assert mean(values) == pytest.approx(centre, abs=1e-12)
    spread = (sum((value - centre) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    assert deviation(values) == pytest.approx(spread, abs=1e-7)


@given(shares)
def test_one_value_has_no_spread(value):
    assert (mean([value]), deviation([value])) == (value, None)
