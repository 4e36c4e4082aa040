"""Vision transformers written from their papers, over canonical names: what our networks are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, silu

Grid = tuple[int, int]
Weights = Callable[[int, int], Tensor]


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights that make every tensor matter, without letting activations grow."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            scale = 0.3 if tensor.ndim < 2 else (2 / max(8, math.prod(tensor.shape[1:]))) ** 0.5
            centre = float("norm" in name and name.endswith("weight"))
            tensor.copy_(centre + scale * torch.randn(tensor.shape, generator=draw))
        for name, tensor in network.named_buffers():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
    network.eval()  # mmdet's return nothing from it
    return network


@dataclass(frozen=True)
class PaperTransformer:
    """A plain transformer (Dosovitskiy et al., 2021) with what later papers added, as far as `state` holds it.

    `act` is the GELU, `stretch(old, new)` weights `(new, old)` of trained positions along a side, `stem` what makes
    patches where no single convolution does.
    """

    state: Mapping[str, Tensor]
    heads: int
    patch: int
    eps: float = 1e-6
    act: Callable[[Tensor], Tensor] = gelu
    stretch: Weights | None = None
    stem: Callable[[Tensor], Tensor] | None = None
    fixed: Callable[[Grid, int], Tensor] | None = None

    def tokens(self, images: Tensor) -> list[Tensor]:
        """Tokens after each block: class, registers, patches row by row."""
        grid = (images.shape[2] // self.patch, images.shape[3] // self.patch)
        x = self.embed(images, grid)
        if "norm_pre.weight" in self.state:
            x = self.norm(x, "norm_pre")
        outputs = []
        for index in range(1 + max(int(name.split(".")[1]) for name in self.state if name.startswith("blocks."))):
            x = self.block(x, f"blocks.{index}.", grid)
            outputs.append(x)
        return outputs

    def features(self, images: Tensor) -> Tensor:
        return self.norm(self.tokens(images)[-1], "norm")

    def levels(self, images: Tensor) -> list[Tensor]:
        tokens = self.tokens(images)
        grid = [side // self.patch for side in images.shape[2:]]
        ends = [math.ceil(len(tokens) * quarter / 4) - 1 for quarter in (1, 2, 3, 4)]
        return [tokens[end][:, -math.prod(grid) :].transpose(1, 2).unflatten(2, grid) for end in ends]

    def embed(self, images: Tensor, grid: Grid) -> Tensor:
        s, p = self.state, self.patch
        if self.stem is None:
            patches = images.unfold(2, p, p).unfold(3, p, p)  # B, 3, h, w, p, p
            x = torch.einsum("bchwyx,dcyx->bhwd", patches, s["patch_embed.proj.weight"])
            x = (x + s.get("patch_embed.proj.bias", torch.zeros(()))).flatten(1, 2)
        else:
            x = self.stem(images).flatten(2).transpose(1, 2)
        tokens = [s[name].expand(len(x), -1, -1) for name in ("cls_token", "reg_token") if name in s]
        table = self.positions(grid, x.shape[-1])
        if table is None:
            return torch.cat([*tokens, x], dim=1)
        count = table.shape[1] - x.shape[1]  # positions before those of the patches go to the first tokens
        prefix = torch.cat(tokens, dim=1) if tokens else x[:, :0]
        prefix = torch.cat([prefix[:, :count] + table[:, :count], prefix[:, count:]], dim=1)
        return torch.cat([prefix, x + table[:, count:]], dim=1)

    def positions(self, grid: Grid, width: int) -> Tensor | None:
        if self.fixed is not None:
            return self.fixed(grid, width)
        if "pos_embed" not in self.state:
            return None
        table = self.state["pos_embed"]
        side = math.isqrt(table.shape[1])
        if grid == (side, side):
            return table
        assert self.stretch is not None
        cells = table[0, -side * side :].reshape(side, side, -1)
        cells = torch.einsum("yY,xX,YXd->yxd", self.stretch(side, grid[0]), self.stretch(side, grid[1]), cells)
        return torch.cat([table[:, : -side * side], cells.reshape(1, -1, width)], dim=1)

    def block(self, x: Tensor, name: str, grid: Grid) -> Tensor:
        x = x + self.scaled(self.attention(self.norm(x, f"{name}norm1"), f"{name}attn.", grid), name, 1)
        return x + self.scaled(self.mlp(self.norm(x, f"{name}norm2"), f"{name}mlp."), name, 2)

    def scaled(self, x: Tensor, name: str, branch: int) -> Tensor:
        """LayerScale (Touvron et al., 2021)."""
        gamma = [self.state[key] for key in (f"{name}gamma_{branch}", f"{name}ls{branch}.gamma") if key in self.state]
        return x * gamma[0] if gamma else x

    def attention(self, x: Tensor, name: str, grid: Grid) -> Tensor:
        batch, count, width = x.shape
        qkv = x @ self.state[f"{name}qkv.weight"].T + self.qkv_bias(name, width)
        q, k, v = qkv.reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if "rope.periods" in self.state:
            q, k = self.rotated(q, grid), self.rotated(k, grid)
        logits = q @ k.mT * q.shape[-1] ** -0.5
        for key in ("rel_pos_bias.relative_position_bias_table", f"{name}relative_position_bias_table"):
            if key in self.state:
                logits = logits + relative_bias(self.state[key], grid)
        x = (logits.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, count, width)
        return self.linear(x, f"{name}proj")

    def qkv_bias(self, name: str, width: int) -> Tensor:
        parts = [self.state.get(f"{name}{part}_bias", torch.zeros(width)) for part in "qkv"]
        return self.state.get(f"{name}qkv.bias", torch.cat(parts))

    def rotated(self, x: Tensor, grid: Grid) -> Tensor:
        """RoPE of DINOv3: coordinates of cell centres from -1 to 1, half of the pairs for each axis."""
        rows, columns = (2 * (torch.arange(side) + 0.5) / side - 1 for side in grid)
        cells = torch.cartesian_prod(rows, columns)
        angles = (2 * math.pi * cells[:, :, None] / self.state["rope.periods"]).flatten(1)
        first, second = x[:, :, -len(cells) :].chunk(2, dim=-1)
        turned = [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()]
        return torch.cat([x[:, :, : -len(cells)], torch.cat(turned, dim=-1)], dim=2)

    def mlp(self, x: Tensor, name: str) -> Tensor:
        if f"{name}fc1_g.weight" in self.state:
            hidden = silu(self.linear(x, f"{name}fc1_g")) * self.linear(x, f"{name}fc1_x")
        else:
            hidden = self.linear(x, f"{name}fc1")
            if hidden.shape[-1] == 2 * self.state[f"{name}fc2.weight"].shape[1]:
                gate, value = hidden.chunk(2, dim=-1)
                hidden = silu(gate) * value
            else:
                hidden = self.act(hidden)
        return self.linear(hidden, f"{name}fc2")

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state.get(f"{name}.bias", torch.zeros(()))

    def norm(self, x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps=self.eps)


def relative_bias(table: Tensor, grid: Grid) -> Tensor:
    """BEiT's bias `(heads, 1 + cells, 1 + cells)` from its rows: distances, class to patch, patch to class, class."""
    height, width = grid
    bias = torch.empty(table.shape[1], 1 + height * width, 1 + height * width)
    bias[:, 0, :], bias[:, :, 0], bias[:, 0, 0] = table[-3, :, None], table[-2, :, None], table[-1]
    cells = [(row, column) for row in range(height) for column in range(width)]
    for i, (row, column) in enumerate(cells, 1):
        for j, (other_row, other_column) in enumerate(cells, 1):
            distance = (row - other_row + height - 1) * (2 * width - 1) + column - other_column + width - 1
            bias[:, i, j] = table[distance]
    return bias


def cubic(old: int, new: int, offset: float = 0.0) -> Tensor:
    """Keys' cubic convolution (a = -0.75) by the factor (new + offset) / old, borders repeated: (new, old) weights."""
    weights = torch.zeros(new, old)
    for row in range(new):
        position = (row + 0.5) * old / (new + offset) - 0.5
        first = math.floor(position)
        for column in range(first - 1, first + 3):
            distance = abs(position - column)
            if distance <= 1:
                weight = 1.25 * distance**3 - 2.25 * distance**2 + 1
            else:
                weight = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
            weights[row, min(max(column, 0), old - 1)] += weight
    return weights


def hat(old: int, new: int) -> Tensor:
    """Linear interpolation between aligned corners: (new, old) weights."""
    places = torch.linspace(0, old - 1, new)[:, None]
    return (1 - (places - torch.arange(old)).abs()).clamp(min=0)


def relative_error(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


def state_of(network: Any) -> dict[str, Tensor]:
    return dict(network.state_dict())
