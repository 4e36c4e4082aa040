from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.backbones.paper import relative_error
from transfer.backbones.building import build_backbone
from transfer.backbones.relative import spline_weights, stretch_bias
from transfer.schemas.checkpoint import BackboneSpec

interpolate = pytest.importorskip("scipy.interpolate")


@given(st.lists(st.floats(0.5, 3), min_size=3, max_size=30), st.integers(1, 20))
def test_splines_are_scipys(gaps: list[float], count: int) -> None:
    places = torch.tensor([0.0, *gaps], dtype=torch.float64).cumsum(0)
    values = torch.sin(places)
    wanted = torch.linspace(float(places[0]), float(places[-1]), count, dtype=torch.float64)
    expected = interpolate.make_interp_spline(places.numpy(), values.numpy(), k=3)(wanted.numpy())
    torch.testing.assert_close(spline_weights(places, wanted) @ values, torch.from_numpy(expected))


def beits_own(table: torch.Tensor, trained: int, wanted: int) -> torch.Tensor:
    """Stretch as the paper's fine-tuning does: distances 1, 1 + q, 1 + q + q², ... and a bicubic spline."""
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        q = (low + high) / 2
        low, high = (low, q) if (1 - q ** (trained - 1)) / (1 - q) > wanted - 1 else (q, high)
    right = [sum(q**power for power in range(count)) for count in range(1, trained)]
    places = [-place for place in reversed(right)] + [0.0] + right
    at = list(range(1 - wanted, wanted))
    rows = []
    for head in table[:-3].T:
        square = head.reshape(2 * trained - 1, 2 * trained - 1).double().numpy()
        rows.append(torch.from_numpy(interpolate.RectBivariateSpline(places, places, square)(at, at)).flatten())
    return torch.cat([torch.stack(rows, dim=1).float(), table[-3:]])


@pytest.mark.parametrize(("trained", "wanted"), [(14, 24), (14, 16), (6, 14), (4, 9)])
def test_biases_stretch_as_in_beits_fine_tuning(trained: int, wanted: int) -> None:
    table = torch.randn((2 * trained - 1) ** 2 + 3, 2)
    stretched = stretch_bias(table, (trained, trained), (wanted, wanted))
    assert relative_error(stretched, beits_own(table, trained, wanted)) < 1e-4


@pytest.mark.parametrize("grid", [(4, 4), (2, 7), (1, 1), (9, 3)])
@pytest.mark.parametrize("trained", [(4, 4), (1, 1), (2, 2)])
def test_any_grid(trained: tuple[int, int], grid: tuple[int, int]) -> None:
    table = torch.randn((2 * trained[0] - 1) * (2 * trained[1] - 1) + 3, 2)
    stretched = stretch_bias(table, trained, grid)
    assert stretched.shape == ((2 * grid[0] - 1) * (2 * grid[1] - 1) + 3, 2) and stretched.isfinite().all()
    assert (stretched is table) == (trained == grid)


def test_stretched_biases_learn() -> None:
    spec = BackboneSpec("beit", "b", {"image": [32, 32], "patch": 8, "dim": 64, "depth": 1, "heads": 2})
    backbone = build_backbone(spec)
    backbone(torch.randn(1, 3, 48, 24))[-1].square().mean().backward()
    gradient = backbone.network.get_parameter("blocks.0.attn.relative_position_bias_table").grad
    assert gradient is not None and gradient.abs().sum() > 0
