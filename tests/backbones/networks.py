"""Networks whose weights make every option matter, and the arithmetic to compute them once more, from the papers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, max_pool2d, pad, relu

from transfer.backbones.building import Backbone, build_backbone
from transfer.schemas.checkpoint import BackboneSpec

State = dict[str, Tensor]


@torch.no_grad()
def random_backbone(kind: str, options: dict[str, Any], **how: Any) -> Backbone:
    """A network in evaluation mode whose norms are not the identity and whose variances are near `eps`."""
    draw = torch.Generator().manual_seed(0)
    backbone = build_backbone(BackboneSpec(kind, kind, options), **how).eval()
    for name, tensor in backbone.network.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=draw) * 0.02 + 0.005)
        elif tensor.ndim > 1:
            tensor.copy_(torch.randn(tensor.shape, generator=draw) / math.sqrt(tensor[0].numel()))
        elif tensor.ndim == 1:
            tensor.copy_(torch.randn(tensor.shape, generator=draw) * 0.1 + 0.1)
    return backbone


def images(height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def padding_of_tensorflow(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Before and after: the output has ceil(side / stride) cells (tf.nn.convolution's documentation)."""
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def same_convolution(x: Tensor, kernel: Tensor, stride: int = 1, bias: Tensor | None = None) -> Tensor:
    rows, columns = (padding_of_tensorflow(n, k, stride) for n, k in zip(x.shape[2:], kernel.shape[2:], strict=True))
    return conv2d(pad(x, (*columns, *rows)), kernel, bias, stride)


def convolution(x: Tensor, kernel: Tensor, stride: int = 1, bias: Tensor | None = None, dilation: int = 1) -> Tensor:
    """Pad as many zeros on each side as a kernel reaches beyond its centre."""
    return conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2 * dilation, dilation)


def same_max_pool(x: Tensor) -> Tensor:
    rows, columns = (padding_of_tensorflow(side, 3, 2) for side in x.shape[2:])
    return max_pool2d(pad(x, (*columns, *rows), value=-math.inf), 3, 2)


def norm(x: Tensor, state: State, name: str, eps: float = 1e-5) -> Tensor:
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return batch_norm(x, *parts, eps=eps)


def symmetric_pool(x: Tensor) -> Tensor:
    return max_pool2d(x, 3, 2, 1)


def torchvisions_strides(layer: int, block: int) -> tuple[int, int]:
    return 1, 2 if layer > 1 and block == 0 else 1


def caffes_strides(layer: int, block: int) -> tuple[int, int]:
    return (2 if layer > 1 and block == 0 else 1), 1


def resnet_maps(
    state: State,
    x: Tensor,
    depths: list[int],
    conv: Callable[..., Tensor] = convolution,
    pool: Callable[[Tensor], Tensor] = symmetric_pool,
    strides: Callable[[int, int], tuple[int, int]] = torchvisions_strides,
    eps: float = 1e-5,
) -> list[Tensor]:
    """The maps of a ResNet with torchvision's names (He et al., CVPR 2016).

    `strides` of the first two convolutions of a block; their product is that of its shortcut.
    """
    x = pool(relu(norm(conv(x, state["conv1.weight"], 2), state, "bn1", eps)))
    maps = []
    for layer, depth in enumerate(depths, 1):
        for block in range(depth):
            x = _block(state, x, f"layer{layer}.{block}", conv, strides(layer, block), eps)
        maps.append(x)
    return maps


def _block(state: State, x: Tensor, name: str, conv: Any, strides: tuple[int, int], eps: float) -> Tensor:
    first, second = strides
    bottleneck = f"{name}.conv3.weight" in state
    first, second = (first, second) if bottleneck else (second, first)
    shortcut = x[:, :, :: first * second, :: first * second]
    if f"{name}.downsample.0.weight" in state:
        kernel = state[f"{name}.downsample.0.weight"]
        shortcut = norm(conv(x, kernel, first * second), state, f"{name}.downsample.1", eps)
    x = relu(norm(conv(x, state[f"{name}.conv1.weight"], first), state, f"{name}.bn1", eps))
    x = norm(conv(x, state[f"{name}.conv2.weight"], second), state, f"{name}.bn2", eps)
    if bottleneck:
        x = norm(conv(relu(x), state[f"{name}.conv3.weight"]), state, f"{name}.bn3", eps)
    return relu(x + shortcut)


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-5
