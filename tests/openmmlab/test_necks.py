from __future__ import annotations

from math import ceil

import pytest
import torch

from transfer.openmmlab.necks import SimpleFeaturePyramid

SIDE = 224
"""A multiple of 32 and of every patch side below."""


def pyramid(stride: int, num_outs: int = 5) -> tuple[SimpleFeaturePyramid, torch.Tensor]:
    torch.manual_seed(0)
    neck = SimpleFeaturePyramid(in_channels=32, out_channels=8, stride=stride, num_outs=num_outs)
    return neck, torch.randn(2, 32, SIDE // stride, SIDE // stride, requires_grad=True)


@pytest.mark.parametrize("stride", [8, 14, 16, 28, 32])
def test_levels_have_the_strides_that_heads_believe(stride: int) -> None:
    neck, tokens = pyramid(stride)
    levels = neck((torch.zeros(0), tokens))
    assert [level.shape[:2] for level in levels] == [(2, 8)] * 5
    assert [level.shape[2:] for level in levels] == [(ceil(SIDE / s),) * 2 for s in (4, 8, 16, 32, 64)]


@pytest.mark.parametrize("stride", [14, 16])
def test_every_parameter_and_every_token_learns(stride: int) -> None:
    neck, tokens = pyramid(stride)
    sum((level * torch.randn_like(level)).sum() for level in neck((tokens,))).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in neck.parameters())
    assert tokens.grad is not None and tokens.grad.abs().sum(1).all()


def test_levels_beyond_the_fourth_subsample() -> None:
    neck, tokens = pyramid(16, num_outs=6)
    *_, fourth, fifth, sixth = neck((tokens,))
    assert torch.equal(fifth, fourth[:, :, ::2, ::2])
    assert torch.equal(sixth, fourth[:, :, ::4, ::4])


def test_four_levels_without_extra() -> None:
    neck, tokens = pyramid(16, num_outs=4)
    assert len(neck((tokens,))) == 4


@pytest.mark.parametrize("stride", [8, 14, 16])
def test_levels_see_the_same_place(stride: int) -> None:
    """A mark in the upper left eighth of the tokens moves no feature in the lower right half of any level."""
    neck, tokens = pyramid(stride, num_outs=4)
    marked = tokens.detach().clone()
    marked[:, :, : SIDE // stride // 8, : SIDE // stride // 8] += 1
    for before, after in zip(neck((tokens,)), neck((marked,)), strict=True):
        half = before.shape[-1] // 2
        moved = (after - before).abs().amax((0, 1)) > 1e-6
        assert moved[:half, :half].any()
        assert not moved[half:, half:].any()
