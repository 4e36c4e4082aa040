from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from transfer.errors import BadOption
from transfer.openmmlab.sampling import PositionSampler, hashed

few = settings(max_examples=60, deadline=None)
assigned = st.lists(st.sampled_from([-1, 0, 0, 0, 1, 2]), min_size=1, max_size=60)


def truth(position: int | None, number: int = 2) -> InstanceData:
    corners = torch.tensor([[0.0, 0, 10, 10], [5, 5, 20, 20]])[:number]
    metainfo = {} if position is None else {"position": position}
    return InstanceData(metainfo=metainfo, bboxes=corners, labels=torch.zeros(number, dtype=torch.long))


def draw(sampler: Any, gt_inds: list[int], position: int | None = 0) -> Any:
    indices = torch.tensor(gt_inds)
    assignment = AssignResult(2, indices, torch.zeros(len(indices)), labels=torch.zeros(len(indices), dtype=torch.long))
    return sampler.sample(assignment, InstanceData(priors=torch.rand(len(indices), 4)), truth(position), feats=None)


def drawn(sampler: Any, gt_inds: list[int], position: int = 0) -> tuple[list[int], list[int]]:
    result = draw(sampler, gt_inds, position)
    return result.pos_inds.tolist(), result.neg_inds.tolist()


def sampler(**options: Any) -> Any:
    options = {"num": 8, "pos_fraction": 0.25, "add_gt_as_proposals": False, **options}
    return TASK_UTILS.build({"type": "mmdet.PositionSampler", **options})


@few
@given(
    assigned, st.integers(0, 2**40), st.integers(1, 20), st.sampled_from([0.25, 0.5]), st.sampled_from([-1, 0, 1, 3])
)
def test_numbers_and_kinds_are_random_samplers(
    gt_inds: list[int], position: int, number: int, fraction: float, limit: int
) -> None:
    options = {"num": number, "pos_fraction": fraction, "neg_pos_ub": limit}
    positive, negative = drawn(sampler(**options), gt_inds, position)
    reference = TASK_UTILS.build({"type": "mmdet.RandomSampler", "add_gt_as_proposals": False, **options})
    expected = drawn(reference, gt_inds)
    assert (len(positive), len(negative)) == tuple(map(len, expected))
    assert all(gt_inds[index] > 0 for index in positive) and all(gt_inds[index] == 0 for index in negative)
    assert positive == sorted(set(positive)) and negative == sorted(set(negative))


def test_true_boxes_join_the_proposals() -> None:
    result = draw(sampler(add_gt_as_proposals=True, pos_fraction=1.0), [0] * 20)
    assert result.pos_inds.tolist() == [0, 1]
    assert torch.equal(result.pos_priors, truth(0).bboxes)


@few
@given(assigned, st.integers(0, 1000), st.integers(0, 3))
def test_history_does_not_matter(gt_inds: list[int], position: int, salt: int) -> None:
    fresh, used = sampler(salt=salt), sampler(salt=salt)
    draw(used, [0] * 50, 7)
    torch.manual_seed(position)
    state = torch.get_rng_state()
    assert drawn(used, gt_inds, position) == drawn(fresh, gt_inds, position)
    assert isinstance(fresh, PositionSampler)
    torch.manual_seed(position)
    assert torch.equal(torch.get_rng_state(), state)


def test_positions_and_salts_draw_differently() -> None:
    many = [0] * 1000
    draws = {str(drawn(sampler(salt=salt), many, position)) for salt in range(5) for position in range(5)}
    assert len(draws) == 25


def test_draws_are_even() -> None:
    counts = torch.zeros(10)
    for position in range(2000):
        counts[drawn(sampler(num=5), [0] * 10, position)[1]] += 1
    # 1,000 expected, standard deviation 22; positions are fixed, so this never flickers
    assert counts.sum() == 10_000 and (counts - 1000).abs().max() < 100


@few
@given(assigned.filter(lambda gt_inds: len(gt_inds) > 1), st.integers(0, 1000), st.data())
def test_one_candidate_less_changes_one_draw_at_most(gt_inds: list[int], position: int, data: Any) -> None:
    lost = data.draw(st.integers(0, len(gt_inds) - 1))
    before = drawn(sampler(), gt_inds, position)[1]
    after = drawn(sampler(), [*gt_inds[:lost], -1, *gt_inds[lost + 1 :]], position)[1]
    if gt_inds[lost] == 0:
        assert len(set(before) - set(after)) <= 1


def splitmix64(state: int, index: int) -> int:
    """A generator's number in Python's integers, as its authors write it down."""
    mask = 2**64 - 1
    mixed = (state + index * 0x9E3779B97F4A7C15) & mask
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & mask
    return mixed ^ (mixed >> 31)


def test_hashes_are_numbers_of_a_known_generator() -> None:
    indices = torch.tensor([0, 1, 2, 7, 451_583, 2**40])
    for salt, position in ((0, 0), (1, 0), (0, 1), (3, 2**40)):
        state = int(np.random.SeedSequence([salt, position]).generate_state(1, np.uint64)[0])
        found = [value % 2**64 for value in hashed(salt, position, indices).tolist()]
        assert found == [splitmix64(state, index) for index in indices.tolist()]
    assert indices.tolist() == [0, 1, 2, 7, 451_583, 2**40]


def test_no_two_hashes_of_an_image_are_equal() -> None:
    assert len(hashed(0, 5, torch.arange(400_000)).unique()) == 400_000


def buckets(values: torch.Tensor, bits: int, shift: int) -> torch.Tensor:
    return (values >> shift) & (2**bits - 1)


@pytest.mark.parametrize("shift", [0, 29, 58])
def test_hashes_are_even(shift: int) -> None:
    counts = torch.bincount(buckets(hashed(0, 9, torch.arange(200_000)), 6, shift), minlength=64)
    expected = 200_000 / 64
    assert 30 < ((counts - expected) ** 2 / expected).sum() < 110  # chi-square of 63 degrees: 63, deviation 11


@pytest.mark.parametrize(("ours", "theirs"), [((0, 9), (0, 10)), ((0, 9), (1, 9)), ((1, 0), (0, 1)), ((0, 0), (0, 1))])
def test_hashes_of_positions_and_salts_are_independent(ours: tuple[int, int], theirs: tuple[int, int]) -> None:
    indices = torch.arange(200_000)
    one, other = (hashed(*key, indices) for key in (ours, theirs))
    pairs = torch.bincount(buckets(one, 4, 60) * 16 + buckets(other, 4, 60), minlength=256)
    expected = 200_000 / 256
    assert 160 < ((pairs - expected) ** 2 / expected).sum() < 360  # 255, deviation 23
    assert abs(torch.corrcoef(torch.stack([one, other]).double())[0, 1]) < 0.01  # deviation 0.002
    neighbours = torch.stack([one[:-1], one[1:]]).double()
    assert abs(torch.corrcoef(neighbours)[0, 1]) < 0.01


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_hashes_of_a_gpu_are_the_cpus() -> None:
    indices = torch.arange(451_584)
    assert torch.equal(hashed(1, 77, indices.cuda()).cpu(), hashed(1, 77, indices))


def test_the_position_survives_the_way_to_the_sampler() -> None:
    from mmdet.structures import DetDataSample

    sample = DetDataSample()
    sample.gt_instances = truth(31)
    assert copy.deepcopy(sample).to("cpu").gt_instances.position == 31
    assert sample.gt_instances.to(torch.device("meta")).position == 31


def test_a_missing_position_says_what_to_do() -> None:
    with pytest.raises(BadOption, match=r"gt_instances.position.*found only no metainfo.*PositionedDataset"):
        draw(sampler(), [0, 1], None)
