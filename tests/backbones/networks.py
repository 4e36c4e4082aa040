"""Networks whose weights make every option matter, and the arithmetic to compute them once more, from the papers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, max_pool2d, pad

from transfer.backbones.building import Backbone, build_backbone
from transfer.spec.checkpoint import BackboneSpec

State = dict[str, Tensor]


@torch.no_grad()
def random_backbone(kind: str, options: dict[str, Any], **how: Any) -> Backbone:
    """A network in evaluation mode whose norms are not the identity and whose variances are near `eps`."""
    draw = torch.Generator().manual_seed(0)
    backbone = build_backbone(BackboneSpec(kind, kind, options), **how).eval()
    for name, tensor in backbone.trunk.state_dict().items():
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
    """As many zeros on each side as a kernel reaches beyond its centre."""
    return conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2 * dilation, dilation)


def same_max_pool(x: Tensor) -> Tensor:
    rows, columns = (padding_of_tensorflow(side, 3, 2) for side in x.shape[2:])
    return max_pool2d(pad(x, (*columns, *rows), value=-math.inf), 3, 2)


def norm(x: Tensor, state: State, name: str, eps: float = 1e-5) -> Tensor:
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return batch_norm(x, *parts, eps=eps)


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-5
