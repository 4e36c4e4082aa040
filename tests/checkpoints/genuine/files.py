"""Files as the projects themselves write them, with small networks of theirs and random weights."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

State = dict[str, Tensor]
Levels = Callable[[Tensor], list[Tensor]]


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and statistics that make every tensor matter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_var", "norm.weight", "norm1.weight", "norm2.weight", "ln_1.weight")):
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
            elif tensor.is_floating_point():
                fan = math.prod(tensor.shape[1:]) if tensor.ndim > 1 else 4
                tensor.copy_(torch.randn(tensor.shape, generator=draw) * (2 / max(1, fan)) ** 0.5)
    return network.eval()


@dataclass(frozen=True)
class Genuine:
    """A file's tree, whose it is, and the original network's own computation of its levels and final features.

    `files` are JSON files that stand next to it, by name.
    `border` counts the pixels by which the stem makes the image's sides longer.
    """

    tree: Any
    family: str
    levels: Levels
    features: Callable[[Tensor], Tensor]
    sizes: tuple[tuple[int, int], ...] = ((64, 64), (96, 64))
    suffix: str = ".pth"
    options: Mapping[str, Any] | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    border: int = 0

    def write(self, folder: Path) -> Path:
        """Write the file."""
        path = folder / f"file{self.suffix}"
        if self.suffix == ".safetensors":
            save_file(self.tree, path)
        elif self.suffix == ".npz":
            np.savez(path, **arrays(self.tree))
        elif self.suffix == ".pkl":
            path.write_bytes(pickle.dumps(arrays(self.tree), protocol=2))
        else:
            torch.save(self.tree, path)
        for name, value in self.files.items():
            (folder / name).write_text(json.dumps(value))
        return path


def arrays(tree: Any) -> Any:
    """The tree with NumPy arrays in the place of tensors."""
    if isinstance(tree, Mapping):
        return {key: arrays(value) for key, value in tree.items()}
    return tree.numpy() if isinstance(tree, Tensor) else tree


def resnet_levels(network: Any) -> Levels:
    def levels(images: Tensor) -> list[Tensor]:
        x = network.conv1(images)
        x = network.maxpool(torch.relu(network.bn1(x)))
        maps = []
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = stage(x)
            maps.append(x)
        return maps

    return levels


def small_resnet(block: Any = BasicBlock, **options: Any) -> Any:
    return randomised(ResNet(block, [1, 1, 1, 1], num_classes=7, **options))


def wide_resnet(factor: int) -> Any:
    """A ResNet of bottlenecks with all its widths times `factor`."""
    network: Any = ResNet(Bottleneck, [1, 1, 1, 1])
    network.inplanes = width = 64 * factor
    network.conv1, network.bn1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width)
    for stage, stride in enumerate((1, 2, 2, 2)):
        setattr(network, f"layer{stage + 1}", network._make_layer(Bottleneck, width * 2**stage, 1, stride=stride))
    return randomised(network)


def heads(*names: str, width: int = 4) -> State:
    """Return linear layers of these names, as they are next to a backbone."""
    parts = (("weight", (width, width)), ("bias", (width,)))
    return {f"{name}.{part}": torch.randn(shape) for name in names for part, shape in parts}


def norms(*names: str, width: int = 4) -> State:
    """Return batch norms of these names without scale and shift, as they are next to a backbone."""
    state = {f"{name}.{part}": torch.rand(width) for name in names for part in ("running_mean", "running_var")}
    return state | {f"{name}.num_batches_tracked": torch.tensor(9) for name in names}


def genuine_resnet(
    tree: Any, network: Any, family: str, options: Mapping[str, Any] | None = None, suffix: str = ".pth"
) -> Genuine:
    levels = resnet_levels(network)
    return Genuine(tree, family, levels, lambda x: levels(x)[-1], options=options, suffix=suffix)


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def without(head: str, state: Mapping[str, Tensor]) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(head)}


def timm_levels(network: Any) -> Levels:
    def levels(images: Tensor) -> list[Tensor]:
        return list(network.forward_intermediates(images, intermediates_only=True))[-4:]

    return levels


def genuine_timm(
    network: Any, tree: Any = None, sizes: Any = ((64, 64), (96, 64)), suffix: str = ".pth", family: str = "timm"
) -> Genuine:
    randomised(network)
    tree = network.state_dict() if tree is None else tree(network.state_dict())
    return Genuine(tree, family, timm_levels(network), network.forward_features, sizes=sizes, suffix=suffix)


def small_vit(**options: Any) -> VisionTransformer:
    size = {"img_size": 64, "patch_size": 16, "embed_dim": 64, "depth": 4, "num_heads": 1, "num_classes": 7}
    return VisionTransformer(**{**size, "dynamic_img_size": True, **options})


def small_swin() -> Any:
    return timm.create_model(
        "swin_tiny_patch4_window7_224", embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=7,
        strict_img_size=False,
    )  # fmt: skip


def old_swin(state: State) -> State:
    """Names and buffers of timm < 0.8."""
    names = {}
    for name, tensor in state.items():
        for stage in (1, 2, 3):
            name = name.replace(f"layers.{stage}.downsample.", f"layers.{stage - 1}.DOWNSAMPLE.")
        names[name.replace("DOWNSAMPLE", "downsample").replace("head.fc.", "head.")] = tensor
    names["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    names["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
    return names


def noisy(state: State) -> State:
    return {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}
