from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.checkpoints.genuine.files import Genuine, Levels, State, prefixed, randomised
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state


def quick(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def clip_names(state: State) -> State:
    """The names of CLIP's own image tower."""
    names = {"proj": torch.randn(128, 32)}
    for name, tensor in state.items():
        if name == "cls_token":
            names["class_embedding"] = tensor[0, 0]
        elif name == "pos_embed":
            names["positional_embedding"] = tensor[0]
        else:
            for old, new in (
                ("patch_embed.proj", "conv1"), ("norm_pre", "ln_pre"), ("blocks.", "transformer.resblocks."),
                ("attn.qkv.", "attn.in_proj_"), ("attn.proj", "attn.out_proj"), ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"), ("norm1", "ln_1"), ("norm2", "ln_2"), ("norm.", "ln_post."),
            ):  # fmt: skip
                name = name.replace(old, new)
            names[name] = tensor
    return names


def with_text(visual: State, wrapper: str = "") -> State:
    text = {
        "positional_embedding": torch.randn(8, 16), "text_projection": torch.randn(16, 32),
        "logit_scale": torch.tensor(4.6), "token_embedding.weight": torch.randn(64, 16),
        "ln_final.weight": torch.ones(16), "transformer.resblocks.0.attn.in_proj_weight": torch.randn(48, 16),
    }  # fmt: skip
    return prefixed(wrapper, prefixed("visual.", visual) | text)


def openai(state: State) -> State:
    scalars = {"input_resolution": torch.tensor(64), "context_length": torch.tensor(8), "vocab_size": torch.tensor(64)}
    return with_text(clip_names(state)) | scalars


def clip_state() -> State:
    return small_state("vit", pre_norm=True)


class Bottleneck(nn.Module):
    """CLIP's: average pools in the place of strides (He et al., 2019; Zhang, 2019)."""

    def __init__(self, inner: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = nn.Conv2d(channels, 4 * channels, 1, bias=False), nn.BatchNorm2d(4 * channels)
        self.pool = nn.AvgPool2d(stride)
        shortcut = {"-1": nn.AvgPool2d(stride), "0": nn.Conv2d(inner, 4 * channels, 1, bias=False)}
        self.downsample = nn.Sequential()
        for name, module in {**shortcut, "1": nn.BatchNorm2d(4 * channels)}.items():
            self.downsample.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.pool(self.bn2(self.conv2(y)).relu())
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu()


class ModifiedResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32)
        self.conv3, self.bn3 = nn.Conv2d(32, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64)
        for stage, (inner, channels) in enumerate(((64, 64), (256, 128), (512, 256), (1024, 512)), 1):
            stride = 1 if stage == 1 else 2
            self.add_module(f"layer{stage}", nn.Sequential(Bottleneck(inner, channels, stride)))

    def levels(self) -> Levels:
        def levels(images: Tensor) -> list[Tensor]:
            x = images
            for convolution, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
                x = norm(convolution(x)).relu()
            x, maps = nn.functional.avg_pool2d(x, 2), []
            for stage in (1, 2, 3, 4):
                x = self.get_submodule(f"layer{stage}")(x)
                maps.append(x)
            return maps

        return levels


def clip_resnet() -> Genuine:
    network: Any = randomised(ModifiedResNet())
    pool = {"attnpool.positional_embedding": torch.randn(5, 2048), "attnpool.q_proj.weight": torch.randn(8, 2048)}
    levels = network.levels()
    return Genuine(with_text(network.state_dict() | pool), "clip", levels, lambda images: levels(images)[-1])


def halves(state: State) -> State:
    """Half precision, as OpenAI's; the reference has the same numbers."""
    for tensor in state.values():
        tensor.copy_(tensor.half())
    return {name: tensor.half() for name, tensor in with_text(clip_names(state)).items()}


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "clip: vit": lambda: genuine_transformer("clip", clip_state(), openai, eps=1e-5, act=quick),
    "clip: vit in half precision": lambda: genuine_transformer("clip", clip_state(), halves, eps=1e-5, act=quick),
    "clip: resnet": clip_resnet,
}
