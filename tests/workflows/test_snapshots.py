from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transfer.stages.snapshots import snapshot_steps


@given(st.integers(1, 10_000), st.integers(0, 40))
def test_the_untrained_model_first_the_final_one_not_among_them(steps: int, count: int) -> None:
    found = snapshot_steps(steps, count)
    assert found == sorted(set(found)) and len(found) == min(steps, count)
    assert found[:1] == [0][:count] and all(step < steps for step in found)
