from __future__ import annotations

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transfer.openmmlab.order import orientations, shuffled, shuffled_by_orientation

UPRIGHT = st.lists(st.booleans(), min_size=1, max_size=60).map(bytes)


def epochs(upright: bytes, images_per_step: int, count: int, seed: int = 0) -> list[list[int]]:
    return [shuffled_by_orientation(seed, epoch, upright, images_per_step).tolist() for epoch in range(count)]


def steps(upright: bytes, images_per_step: int, count: int, seed: int = 0) -> list[list[int]]:
    """The whole steps of some epochs: those that two epochs share, too."""
    drawn = list(chain.from_iterable(epochs(upright, images_per_step, count, seed)))
    whole = len(drawn) // images_per_step * images_per_step
    return [drawn[start : start + images_per_step] for start in range(0, whole, images_per_step)]


def mixed(upright: bytes, step: list[int]) -> bool:
    return len({upright[index] for index in step}) == 2


def test_an_image_as_wide_as_high_is_not_upright() -> None:
    assert orientations([(640, 480), (480, 640), (500, 500)]) == bytes([0, 1, 0])


@given(UPRIGHT, st.integers(1, 12), st.integers(0, 3))
def test_every_image_stands_in_every_epoch_once(upright: bytes, images_per_step: int, seed: int) -> None:
    for drawn in epochs(upright, images_per_step, 5, seed):
        assert sorted(drawn) == list(range(len(upright)))


@given(UPRIGHT, st.integers(1, 12))
def test_one_step_of_an_epoch_is_mixed_and_those_that_two_epochs_share_may_be(upright: bytes, per_step: int) -> None:
    count = 6
    found = steps(upright, per_step, count)
    shared = {epoch * len(upright) // per_step for epoch in range(count) if epoch * len(upright) % per_step}
    inside = [number for number, step in enumerate(found) if number not in shared and mixed(upright, step)]
    assert len(inside) == len({number * per_step // len(upright) for number in inside})


def test_steps_of_a_large_set_have_one_orientation() -> None:
    upright = bytes(np.random.default_rng(0).random(2000) < 0.23)
    found = steps(upright, 16, 8)
    assert sum(mixed(upright, step) for step in found) <= 8
    assert len({tuple(sorted(step)) for step in found}) == len(found)


def test_epochs_seeds_and_the_order_of_steps_differ() -> None:
    upright = bytes([0, 0, 0, 1] * 40)
    first, second = epochs(upright, 8, 2)
    assert first != second and first != epochs(upright, 8, 1, seed=1)[0]
    sides = [upright[step[0]] for step in steps(upright, 8, 1)]
    assert sides != sorted(sides) and sides != sorted(sides, reverse=True)


def test_the_order_of_images_without_orientation_is_a_permutation_by_seed_and_epoch() -> None:
    first, second = shuffled(0, 0, 50), shuffled(0, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, np.random.default_rng([0, 0]).permutation(50))
