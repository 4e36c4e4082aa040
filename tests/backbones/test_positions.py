from __future__ import annotations

import pytest
import timm.layers
import torch
from torchvision.models.vision_transformer import interpolate_embeddings

from transfer.backbones.positions import INTERPOLATIONS, stretch_positions


@pytest.mark.parametrize("way", list(INTERPOLATIONS))
def test_the_trained_grid_is_untouched(way: str) -> None:
    positions = torch.randn(1, 24, 5)
    assert stretch_positions(positions, (4, 6), (4, 6), way) is positions


@pytest.mark.parametrize("way", list(INTERPOLATIONS))
@pytest.mark.parametrize("grid", [(6, 9), (2, 8), (3, 3), (14, 1)])
def test_any_grid(way: str, grid: tuple[int, int]) -> None:
    positions = torch.randn(1, 16, 5)
    assert stretch_positions(positions, (4, 4), grid, way).shape == (1, grid[0] * grid[1], 5)


def test_timms_way() -> None:
    positions = torch.randn(1, 16, 5)
    expected = timm.layers.resample_abs_pos_embed(positions, [7, 3], [4, 4], num_prefix_tokens=0)
    torch.testing.assert_close(stretch_positions(positions, (4, 4), (7, 3), "timm"), expected)


def test_torchvisions_way() -> None:
    positions = torch.randn(1, 17, 5)
    expected = interpolate_embeddings(112, 16, {"encoder.pos_embedding": positions})["encoder.pos_embedding"]
    torch.testing.assert_close(stretch_positions(positions[:, 1:], (4, 4), (7, 7), "torchvision"), expected[:, 1:])


def test_the_ways_differ() -> None:
    positions = torch.randn(1, 16, 5, generator=torch.Generator().manual_seed(0))
    stretched = [stretch_positions(positions, (4, 4), (7, 7), way) for way in INTERPOLATIONS]
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(stretched) for b in stretched[:i])
