"""A vision transformer written from the paper, independent of any library."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, softmax


class PaperViT:
    """A vision transformer written from Dosovitskiy et al. (2021), with DINO's names and position interpolation."""

    def __init__(self, state: Mapping[str, Tensor], heads: int, patch: int) -> None:
        self.state, self.heads, self.patch = state, heads, patch

    def tokens(self, images: Tensor) -> list[Tensor]:
        """Tokens after each block."""
        s, p = self.state, self.patch
        patches = images.unfold(2, p, p).unfold(3, p, p)  # B, 3, h, w, p, p
        kernel = s["patch_embed.proj.weight"]
        x = torch.einsum("bchwyx,dcyx->bhwd", patches, kernel) + s["patch_embed.proj.bias"]
        x = x.flatten(1, 2)
        x = torch.cat([s["cls_token"].expand(len(x), -1, -1), x], dim=1)
        x = x + self.positions(images.shape[2] // p, images.shape[3] // p)
        outputs = []
        for index in range(1 + max(int(name.split(".")[1]) for name in s if name.startswith("blocks."))):
            x = self.block(x, f"blocks.{index}.")
            outputs.append(x)
        return outputs

    def block(self, x: Tensor, name: str) -> Tensor:
        x = x + self.attention(self.norm(x, f"{name}norm1"), f"{name}attn.")
        hidden = gelu(self.linear(self.norm(x, f"{name}norm2"), f"{name}mlp.fc1"))
        return x + self.linear(hidden, f"{name}mlp.fc2")

    def attention(self, x: Tensor, name: str) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.linear(x, f"{name}qkv").reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = softmax(q @ k.mT * (width // self.heads) ** -0.5, dim=-1)
        return self.linear((weights @ v).transpose(1, 2).reshape(batch, count, width), f"{name}proj")

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps=1e-6)

    def positions(self, height: int, width: int) -> Tensor:
        table = self.state["pos_embed"]
        side = math.isqrt(table.shape[1] - 1)
        if (height, width) == (side, side):
            return table
        grid = table[0, 1:].reshape(side, side, -1)
        grid = torch.einsum("yY,xX,YXd->yxd", cubic(side, height), cubic(side, width), grid)
        return torch.cat([table[:, :1], grid.reshape(1, height * width, -1)], dim=1)

    def levels(self, images: Tensor) -> list[Tensor]:
        tokens = self.tokens(images)
        grid = [side // self.patch for side in images.shape[2:]]
        ends = [math.ceil(len(tokens) * quarter / 4) - 1 for quarter in (1, 2, 3, 4)]
        return [tokens[end][:, 1:].transpose(1, 2).unflatten(2, grid) for end in ends]

    def features(self, images: Tensor) -> Tensor:
        return self.norm(self.tokens(images)[-1], "norm")


def cubic(old: int, new: int) -> Tensor:
    """Keys' cubic convolution (a = -0.75) by the factor (new + 0.1) / old, borders repeated: (new, old) weights."""
    weights = torch.zeros(new, old)
    for row in range(new):
        position = (row + 0.5) * old / (new + 0.1) - 0.5
        first = math.floor(position)
        for column in range(first - 1, first + 3):
            distance = abs(position - column)
            if distance <= 1:
                weight = 1.25 * distance**3 - 2.25 * distance**2 + 1
            else:
                weight = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
            weights[row, min(max(column, 0), old - 1)] += weight
    return weights
