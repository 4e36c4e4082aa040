"""Fields and votes against their definitions in Papandreou et al. (CVPR 2017), written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.openmmlab.heads.hough import field_losses, peaks, vote

WIDTH, HEIGHT, RADIUS = 65, 89, 6.0


def exact_fields(joints: torch.Tensor, radius: float = RADIUS) -> tuple[torch.Tensor, torch.Tensor]:
    """What a perfect network answers for `(K, 2)` joints: discs of ones, and the way to the joint in every pixel."""
    discs = torch.zeros(1, len(joints), HEIGHT, WIDTH)
    offsets = torch.zeros(1, len(joints), 2, HEIGHT, WIDTH)
    for k, (x, y) in enumerate(joints.tolist()):
        for row in range(HEIGHT):
            for column in range(WIDTH):
                offsets[0, k, :, row, column] = torch.tensor([x - column, y - row])
                discs[0, k, row, column] = math.hypot(x - column, y - row) <= radius
    return discs, offsets


@settings(max_examples=20, deadline=None)
@given(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1))
def test_votes_of_exact_fields_meet_at_the_joint(x: float, y: float) -> None:
    joints = torch.tensor([[x, y]])
    (found,), _ = peaks(vote(*exact_fields(joints), RADIUS))
    assert (found - joints).norm() < 0.01


def test_joints_are_found_from_noisy_fields() -> None:
    torch.manual_seed(0)
    joints = torch.rand(5, 2) * torch.tensor([WIDTH - 20.0, HEIGHT - 20.0]) + 10
    discs, offsets = exact_fields(joints)
    noisy = vote(
        (discs + 0.05 * torch.rand_like(discs)).clamp(max=1), offsets + 0.5 * torch.randn_like(offsets), RADIUS
    )
    assert ((peaks(noisy)[0][0] - joints).norm(dim=-1) < 0.5).all()


def test_a_perfect_disc_has_a_mass_of_one_at_its_joint() -> None:
    discs, offsets = exact_fields(torch.tensor([[30.0, 40.0]]))
    votes = vote(discs, offsets, RADIUS)
    assert votes[0, 0, 40, 30] == pytest.approx(1, abs=0.02) and votes.sum() == pytest.approx(1, abs=0.02)
    _, heights = peaks(votes)
    assert heights.item() == votes[0, 0, 40, 30].item()


def test_votes_equal_the_papers_sum() -> None:
    """f_k(x_i) = sum_j 1 / (pi R^2) G(x_j + F_k(x_j) - x_i) h_k(x_j), G the bilinear kernel."""
    torch.manual_seed(0)
    probabilities, offsets = torch.rand(1, 1, 5, 7), 3 * torch.randn(1, 1, 2, 5, 7)
    expected = np.zeros((5, 7))
    for row in range(5):
        for column in range(7):
            x, y = column + float(offsets[0, 0, 0, row, column]), row + float(offsets[0, 0, 1, row, column])
            for i in range(5):
                for j in range(7):
                    kernel = max(0, 1 - abs(x - j)) * max(0, 1 - abs(y - i))
                    expected[i, j] += kernel * float(probabilities[0, 0, row, column]) / (math.pi * RADIUS**2)
    np.testing.assert_allclose(vote(probabilities, offsets, RADIUS)[0, 0].numpy(), expected, atol=1e-7)


def test_losses_equal_the_papers_sums() -> None:
    torch.manual_seed(0)
    joints, labelled = torch.tensor([[[20.0, 30.0], [40.5, 50.25], [10.0, 10.0]]]), torch.tensor([[1.0, 1.0, 0.0]])
    logits, offsets = torch.randn(1, 3, HEIGHT, WIDTH), 10 * torch.randn(1, 3, 2, HEIGHT, WIDTH)
    discs, towards = exact_fields(joints[0])
    pixel = -(discs * logits.sigmoid().log() + (1 - discs) * (1 - logits.sigmoid()).log())
    error = (offsets - towards).square().sum(2).sqrt()
    huber = torch.where(error <= 1, error**2 / 2, error - 0.5) * discs
    heatmap, offset = field_losses(logits, offsets, joints, labelled, RADIUS)
    count = logits.numel()
    assert heatmap.item() == pytest.approx(pixel[:, :2].sum().item() / count, rel=1e-5)
    assert offset.item() == pytest.approx(huber[:, :2].sum().item() / count, rel=1e-5)


def test_exact_fields_have_no_loss() -> None:
    joints, labelled = torch.tensor([[[20.0, 30.0]]]), torch.ones(1, 1)
    discs, offsets = exact_fields(joints[0])
    losses = field_losses(100 * (discs - 0.5), offsets, joints, labelled, RADIUS)
    assert [loss.item() for loss in losses] == pytest.approx([0, 0], abs=1e-6)


def test_offsets_outside_the_disc_are_free() -> None:
    joints, labelled = torch.tensor([[[20.0, 30.0]]]), torch.ones(1, 1)
    discs, offsets = exact_fields(joints[0])
    elsewhere = offsets + 50 * (1 - discs)[:, :, None]
    assert field_losses(discs, elsewhere, joints, labelled, RADIUS)[1].item() == 0
