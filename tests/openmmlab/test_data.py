from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import BadOption
from transfer.openmmlab import data
from transfer.openmmlab.data import StepSampler, _order, per_process


def positions(rank: int, processes: int, images_per_step: int, steps: int, skip_steps: int = 0) -> list[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "get_dist_info", lambda: (rank, processes))
        sampler = StepSampler(range(steps * images_per_step), images_per_step)  # type: ignore[arg-type]
    sampler.skip(skip_steps * sampler.per_process)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    return drawn


def by_step(drawn: Sequence[int], per_step: int) -> list[list[int]]:
    return [list(drawn[start : start + per_step]) for start in range(0, len(drawn), per_step)]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6))
def test_processes_share_every_step_of_one_process(processes: int, each: int, steps: int) -> None:
    images = processes * each
    alone = by_step(positions(0, 1, images, steps), images)
    shares = [by_step(positions(rank, processes, images, steps), each) for rank in range(processes)]
    together = [[position for share in shares for position in share[step]] for step in range(steps)]
    assert together == alone


@given(st.integers(1, 3), st.integers(0, 5))
def test_resume_draws_the_rest(processes: int, done: int) -> None:
    images, steps = 2 * processes, 6
    whole = positions(0, processes, images, steps)
    assert positions(0, processes, images, steps, done) == whole[done * 2 :]


def test_every_epoch_is_another_permutation() -> None:
    first, second = _order(0, 0, 50), _order(0, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, np.random.default_rng([0, 0]).permutation(50))


def test_images_per_step_must_divide() -> None:
    assert per_process(16, 8) == 2
    with pytest.raises(BadOption, match="16 over all processes and does not divide by 3"):
        per_process(16, 3)
