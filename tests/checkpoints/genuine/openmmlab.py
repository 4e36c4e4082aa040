"""Files of OpenMMLab with its own networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Identity

from tests.checkpoints.genuine.files import Genuine, heads, noisy, prefixed, randomised
from transfer.openmmlab.stack import import_stack, quiet

import_stack()

CONFIG = """
model = dict(
    type='ImageClassifier',
    backbone=dict(type='{kind}', depth=50, {said}),
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb={to_rgb}))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
"""
VIT = {"img_size": (64, 64), "patch_size": 16, "embed_dims": 64, "num_layers": 4, "num_heads": 1, "mlp_ratio": 4}


def drawn(network: Any) -> Any:
    """The network with random weights; OpenMMLab's own `eval` returns nothing."""
    randomised(network)
    return network


def outputs_of(layers: Any, network: Any) -> Callable[[Tensor], list[Any]]:
    """Return what each of `layers` returns when the network runs."""

    def run(images: Tensor) -> list[Any]:
        seen: list[Any] = []
        handles = [layer.register_forward_hook(lambda _m, _i, output: seen.append(output)) for layer in layers]
        network(images)
        for handle in handles:
            handle.remove()
        return seen

    return run


def resnet(kind: str = "ResNet", **options: Any) -> Any:
    from mmdet.models.backbones import ResNet, ResNetV1d

    with quiet():
        network = {"ResNet": ResNet, "ResNetV1d": ResNetV1d}[kind](depth=18, base_channels=64, **options)
    return drawn(network)


def bottlenecks(**options: Any) -> Any:
    from mmdet.models.backbones import ResNet

    with quiet():
        return drawn(ResNet(50, norm_eval=False, **options))


def tree(state: Mapping[str, Tensor], config: str = "", extra: Mapping[str, Any] | None = None) -> Any:
    meta = {"mmengine_version": "0.10.7", "cfg": config, "epoch": 3, "dataset_meta": {"classes": ("a", "b")}}
    state_dict = prefixed("backbone.", state) | heads("head.fc")
    return {"meta": meta, "state_dict": state_dict, "message_hub": {}, "optimizer": {}, **(extra or {})}


def of_resnet(network: Any, tree: Any, options: Mapping[str, Any] | None = None) -> Genuine:
    return Genuine(tree, "openmmlab", lambda x: list(network(x)), lambda x: network(x)[-1], options=options)


def pytorch_style() -> Genuine:
    network = resnet()
    return of_resnet(network, tree(network.state_dict()))


def caffe_style() -> Genuine:
    network = bottlenecks(style="caffe")
    return of_resnet(
        network, tree(network.state_dict(), CONFIG.format(kind="ResNet", said="style='caffe'", to_rgb=False))
    )


def deep_stem() -> Genuine:
    network = resnet("ResNetV1d")
    return of_resnet(network, tree(network.state_dict()))


def averaged(which: str | None = None) -> Genuine:
    """mmengine's hook puts the average under `state_dict`."""
    network = resnet()
    state, other = network.state_dict(), noisy(network.state_dict())
    pair = (other, state) if which == "raw" else (state, other)
    average = {
        "steps": torch.tensor(7),
        **prefixed("module.backbone.", pair[1]),
        **prefixed("module.", heads("head.fc")),
    }
    file = tree(pair[0], extra={"ema_state_dict": average})
    return of_resnet(network, file, {"which": which} if which else None)


def contrastive() -> Genuine:
    network = resnet()
    file = tree(network.state_dict())
    file["state_dict"] |= prefixed("encoder_k.module.0.", noisy(network.state_dict())) | {"queue": torch.ones(4, 8)}
    file["state_dict"] |= heads("neck.fc0", "encoder_k.module.1.fc0")
    return of_resnet(network, file)


def of_mmcv() -> Genuine:
    network = resnet()
    state = prefixed("backbone.", network.state_dict()) | heads("decode_head.conv_seg")
    return of_resnet(network, {"meta": {"mmcv_version": "1.7.0", "config": ""}, "state_dict": state, "optimizer": {}})


def swin() -> Genuine:
    from mmdet.models.backbones import SwinTransformer

    network = drawn(SwinTransformer(embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=4))
    stages = outputs_of(network.stages, network)

    def levels(images: Tensor) -> list[Tensor]:
        found = stages(images)
        return [out.transpose(1, 2).unflatten(2, size) for _, _, out, size in found]

    def features(images: Tensor) -> Tensor:
        return network(images)[-1].permute(0, 2, 3, 1)  # type: ignore[no-any-return]

    state = prefixed("backbone.", network.state_dict()) | heads("rpn_head.rpn_conv")
    return Genuine({"meta": {}, "state_dict": state}, "openmmlab", levels, features, sizes=((128, 128), (96, 160)))


def of_tokens(network: Any, layers: Any, norm: nn.Module, file: Any) -> Genuine:
    run = outputs_of(layers, network)

    def levels(images: Tensor) -> list[Tensor]:
        grid = [side // 16 for side in images.shape[-2:]]
        return [tokens[:, 1:].transpose(1, 2).unflatten(2, grid) for tokens in run(images)]

    return Genuine(file, "openmmlab", levels, lambda x: norm(run(x)[-1]), sizes=((64, 64),))


def vit() -> Genuine:
    from mmseg.models.backbones import VisionTransformer

    norm = {"type": "LN", "eps": 1e-6}
    with quiet():
        network = drawn(
            VisionTransformer(**VIT, norm_cfg=norm, patch_bias=True, final_norm=True, out_indices=(0, 1, 2, 3))
        )
    last, network.ln1 = network.ln1, Identity()
    state = network.state_dict() | {f"ln1.{name}": tensor for name, tensor in last.state_dict().items()}
    return of_tokens(network, network.layers, last, tree(state))


def beit() -> Genuine:
    from mmseg.models.backbones import BEiT

    norm = {"type": "LN", "eps": 1e-6}
    with quiet():
        network = drawn(BEiT(**VIT, norm_cfg=norm, final_norm=True, init_values=0.1, out_indices=(0, 1, 2, 3)))
    last, network.ln1 = network.ln1, Identity()
    state = network.state_dict() | {f"ln1.{name}": tensor for name, tensor in last.state_dict().items()}
    return of_tokens(network, network.layers, last, tree(state))


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "openmmlab: resnet": pytorch_style,
    "openmmlab: caffe style": caffe_style,
    "openmmlab: deep stem": deep_stem,
    "openmmlab: average": averaged,
    "openmmlab: raw": lambda: averaged("raw"),
    "openmmlab: contrastive": contrastive,
    "openmmlab: mmcv": of_mmcv,
    "openmmlab: swin": swin,
    "openmmlab: vit": vit,
    "openmmlab: beit": beit,
}
