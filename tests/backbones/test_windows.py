from __future__ import annotations

import pytest
import torch

from tests.backbones.paper import randomised, relative_error
from transfer.backbones.building import Backbone, build_backbone
from transfer.backbones.vit import quarters
from transfer.backbones.windows import windowed_maps
from transfer.errors import UnsupportedNetwork
from transfer.schemas.checkpoint import BackboneSpec

OPTIONS = {"image": [32, 32], "patch": 8, "dim": 32, "depth": 8, "heads": 2, "layer_scale": True}


def plain(**options: object) -> Backbone:
    return randomised(build_backbone(BackboneSpec("vit", "plain", {**OPTIONS, **options}))).eval()  # type: ignore[return-value]


@torch.inference_mode()
@pytest.mark.parametrize("window", [6, 3])
def test_one_window_is_the_whole_network(window: int) -> None:
    """Without tokens beside the patches, and where the grid is one window."""
    network, images = plain(class_token=False), torch.randn(2, 3, 8 * window, 8 * window)
    for whole, windowed in zip(network(images), windowed_maps(network.network, images, window), strict=True):
        assert relative_error(windowed, whole) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("tokens", [{"class_token": False}, {}, {"registers": 3}])
def test_windows_and_whole_maps_as_in_the_paper(tokens: dict[str, object]) -> None:
    network, (rows, columns), window = plain(**tokens), (5, 7), 3
    network, images = network.network, torch.randn(1, 3, 8 * rows, 8 * columns)
    embedded = network._pos_embed(network.patch_embed(images))  # type: ignore[operator]
    x = network.norm_pre(embedded)[:, network.num_prefix_tokens :]  # type: ignore[operator,misc]
    cell = torch.arange(rows * columns)
    row, column = cell // columns, cell % columns
    expected = []
    for index, block in enumerate(network.blocks):  # type: ignore[arg-type]
        normed, attended = block.norm1(x), torch.zeros_like(x)
        own = (row // window) * 10 + column // window if index not in quarters(8) else torch.zeros_like(cell)
        for number in own.unique():
            inside = own == number
            keys = normed[:, inside]
            missing = window**2 - int(inside.sum()) if index not in quarters(8) else 0
            filled = torch.cat([keys, keys.new_zeros(1, missing, 32)], dim=1)
            attended[:, inside] = block.attn(filled)[:, : keys.shape[1]]
        x = x + block.ls1(attended)
        x = x + block.ls2(block.mlp(block.norm2(x)))
        expected += [x.transpose(1, 2).unflatten(2, (rows, columns))] if index in quarters(8) else []
    for windowed, reference in zip(windowed_maps(network, images, window), expected, strict=True):
        assert relative_error(windowed, reference) < 1e-5


def test_images_that_patches_do_not_divide() -> None:
    with pytest.raises(UnsupportedNetwork, match="30x32"):
        windowed_maps(plain().network, torch.randn(1, 3, 30, 32), 2)
