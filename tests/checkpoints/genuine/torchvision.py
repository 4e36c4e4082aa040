from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from tests.checkpoints.genuine.files import Genuine, Levels, genuine_resnet, prefixed, randomised, small_resnet


def tv_root() -> Genuine:
    network = randomised(torchvision.models.resnet18())
    return genuine_resnet(network.state_dict(), network, "torchvision")


def tv_resnet50() -> Genuine:
    network = randomised(torchvision.models.resnet50())
    return genuine_resnet(network.state_dict(), network, "torchvision")


def tv_legacy() -> Genuine:
    network = small_resnet(Bottleneck)
    state = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    return genuine_resnet(state, network, "torchvision")


def tv_references() -> Genuine:
    network = small_resnet(Bottleneck, groups=4, width_per_group=16)
    average = {"n_averaged": torch.tensor(5), **prefixed("module.", network.state_dict())}
    args = argparse.Namespace(model="unnamed", lr=0.1)
    tree = {"model": network.state_dict(), "optimizer": {}, "lr_scheduler": {}, "epoch": 3, "args": args}
    return genuine_resnet({**tree, "model_ema": average}, network, "torchvision")


def tv_ema() -> Genuine:
    network, other = small_resnet(), randomised(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7), seed=9)
    average = {"n_averaged": torch.tensor(5), **prefixed("module.", network.state_dict())}
    tree = {"model": other.state_dict(), "model_ema": average, "lr_scheduler": {}, "args": argparse.Namespace()}
    return genuine_resnet(tree, network, "torchvision", {"which": "ema"})


def tv_vit_levels(network: Any) -> tuple[Levels, Callable[[Tensor], Tensor]]:
    """Maps after each layer of a torchvision ViT, and its final tokens."""

    def tokens(images: Tensor) -> list[Tensor]:
        x = network._process_input(images)
        x = torch.cat([network.class_token.expand(len(x), -1, -1), x], dim=1) + network.encoder.pos_embedding
        outputs = []
        for layer in network.encoder.layers:
            x = layer(x)
            outputs.append(x)
        return outputs

    def levels(images: Tensor) -> list[Tensor]:
        grid = [side // 16 for side in images.shape[-2:]]
        return [x[:, 1:].transpose(1, 2).unflatten(2, grid) for x in tokens(images)]

    return levels, lambda images: network.encoder.ln(tokens(images)[-1])


def tv_vit(old_names: bool = False) -> Genuine:
    network = randomised(torchvision.models.VisionTransformer(64, 16, 4, 2, 128, 256))
    state = network.state_dict()
    if old_names:
        pairs = (("mlp.0.", "mlp.linear_1."), ("mlp.3.", "mlp.linear_2."))
        state = {n.replace(*pairs[0]).replace(*pairs[1]): t for n, t in state.items()}

    levels, features = tv_vit_levels(network)
    return Genuine(state, "torchvision", levels, features, sizes=((64, 64),))


def tv_swin() -> Genuine:
    network = randomised(torchvision.models.SwinTransformer([4, 4], 32, [2, 2, 2, 2], [1, 2, 4, 8], [7, 7]))

    def levels(images: Tensor) -> list[Tensor]:
        maps, x = [], images
        for index, layer in enumerate(network.features):
            x = layer(x)
            if index % 2:
                maps.append(x.permute(0, 3, 1, 2))
        return maps

    sizes = ((224, 224), (96, 160), (64, 64), (288, 64))
    return Genuine(
        network.state_dict(), "torchvision", levels, lambda x: network.norm(network.features(x)), sizes=sizes
    )


def tv_convnext() -> Genuine:
    settings = [CNBlockConfig(c, n, d) for c, n, d in ((8, 16, 1), (16, 24, 1), (24, 32, 2), (32, None, 1))]
    network = randomised(torchvision.models.ConvNeXt(settings, num_classes=7))

    def levels(images: Tensor) -> list[Tensor]:
        maps, x = [], images
        for index, layer in enumerate(network.features):
            x = layer(x)
            if index % 2:
                maps.append(x)
        return maps

    return Genuine(network.state_dict(), "torchvision", levels, lambda x: network.features(x))


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "torchvision: resnet18": tv_root,
    "torchvision: resnet50": tv_resnet50,
    "torchvision: without batch counters": tv_legacy,
    "torchvision: references": tv_references,
    "torchvision: references, average": tv_ema,
    "torchvision: vit": tv_vit,
    "torchvision: vit, old names": lambda: tv_vit(old_names=True),
    "torchvision: swin": tv_swin,
    "torchvision: convnext": tv_convnext,
}
