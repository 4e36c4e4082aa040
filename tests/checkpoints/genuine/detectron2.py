from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.models.resnet import BasicBlock, Bottleneck

from tests.backbones.networks import caffes_strides, resnet_maps, torchvisions_strides
from tests.checkpoints.genuine.files import Genuine, State, prefixed, small_resnet, without

EPS = 1e-5


def detectrons_name(name: str) -> str:
    """torchvision's names as tools/convert-torchvision-to-d2.py changes them."""
    name = name if name.startswith("layer") else f"stem.{name}"
    name = re.sub(r"layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
    name = re.sub(r"\bbn(\d)", r"conv\1.norm", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def blobs_name(name: str, norm: dict[str, str]) -> str:
    """Detectron2's names as those of Caffe2's blobs."""
    name = name.replace("stem.conv1.norm.", "res_conv1.norm.").replace("stem.", "")
    for theirs, ours in (("branch2a", "conv1"), ("branch2b", "conv2"), ("branch2c", "conv3"), ("branch1", "shortcut")):
        name = re.sub(rf"(res\d\.\d+)\.{ours}", rf"\1.{theirs}", name)
    for ours, theirs in norm.items():
        name = name.replace(f".norm.{ours}", f"_bn_{theirs}")
    return re.sub(r"\.weight$", "_w", name).replace(".", "_")


def uncounted(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def genuine(
    network: Any,
    tree: Callable[[State], Any],
    suffix: str = ".pkl",
    strides: Any = caffes_strides,
    folded: bool = False,
) -> Genuine:
    state = network.state_dict()
    if folded:
        for name, tensor in state.items():
            if "running" in name:
                tensor.fill_(0 if name.endswith("mean") else 1 - EPS)

    def levels(images: Tensor) -> list[Tensor]:
        return resnet_maps(state, images, [1, 1, 1, 1], strides=strides)

    names = {detectrons_name(name): tensor for name, tensor in state.items()}
    return Genuine(tree(names), "detectron2", levels, lambda x: levels(x)[-1], suffix=suffix)


def from_torchvision(block: Any) -> Genuine:
    def tree(state: State) -> Any:
        return {"model": state, "__author__": "torchvision", "matching_heuristics": True}

    return genuine(small_resnet(block), tree, strides=torchvisions_strides)


def msra() -> Genuine:
    norm = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"}

    def tree(state: State) -> Any:
        blobs = {blobs_name(name, norm): tensor for name, tensor in uncounted(without("stem.fc", state)).items()}
        return blobs | {"fc1000_w": torch.zeros(7, 2048), "fc1000_b": torch.zeros(7)}

    return genuine(small_resnet(Bottleneck), tree)


def detectron(detector: bool) -> Genuine:
    """Norms as scale and shift alone."""

    def tree(state: State) -> Any:
        affine = {
            name: tensor for name, tensor in uncounted(without("stem.fc", state)).items() if "running" not in name
        }
        blobs = {blobs_name(name, {"weight": "s", "bias": "b"}): tensor for name, tensor in affine.items()}
        if not detector:
            return blobs | {"pred_w": torch.zeros(7, 2048), "pred_b": torch.zeros(7)}
        others = ("fpn_inner_res5_2_sum_w", "conv_rpn_fpn2_w", "bbox_pred_w", "res2_0_branch2a_w_momentum")
        return {"blobs": blobs | {name: torch.zeros(4) for name in others}, "cfg": "MODEL: {}"}

    return genuine(small_resnet(Bottleneck), tree, folded=True)


def trained_detector(pyramid: bool) -> Genuine:
    def tree(state: State) -> Any:
        backbone = uncounted(without("stem.fc", state))
        if pyramid:
            model = prefixed("backbone.bottom_up.", backbone)
            model |= {"backbone.fpn_lateral2.weight": torch.zeros(4), "backbone.fpn_output2.bias": torch.zeros(4)}
        else:
            model = {
                ("roi_heads." if name.startswith("res5") else "backbone.") + name: t for name, t in backbone.items()
            }
        model |= {
            "proposal_generator.rpn_head.conv.weight": torch.zeros(4),
            "roi_heads.box_head.fc1.bias": torch.zeros(4),
        }
        model |= {"pixel_mean": torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1), "pixel_std": torch.ones(3, 1, 1)}
        return {"model": model, "optimizer": {}, "scheduler": {}, "iteration": 89999}

    return genuine(small_resnet(Bottleneck), tree, suffix=".pth")


def without_statistics() -> Genuine:
    """Return a file in which nothing says how images were normalised."""

    def tree(state: State) -> Any:
        return {"model": prefixed("backbone.bottom_up.", uncounted(without("stem.fc", state)))}

    return genuine(small_resnet(Bottleneck), tree, suffix=".pth")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "detectron2: torchvision": lambda: from_torchvision(Bottleneck),
    "detectron2: torchvision, basic blocks": lambda: from_torchvision(BasicBlock),
    "detectron2: msra": msra,
    "detectron2: detectron": lambda: detectron(False),
    "detectron2: detectron, detector": lambda: detectron(True),
    "detectron2: detector": lambda: trained_detector(True),
    "detectron2: detector without pyramid": lambda: trained_detector(False),
    "detectron2: detector without statistics": without_statistics,
}
