"""A small ResNet with detectron2's names and layers, written from its model zoo's files: it is not on PyPI."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu

from tests.checkpoints.export.networks import BASIC, BOTTLENECK, CAFFE, RGB, VIT, error, images, small
from tests.checkpoints.export.writing import exported
from transfer.checkpoints.loading import load_backbone
from transfer.errors import BadOption, Inexpressible

PLAIN = [64, 128, 256, 512]


class Network:
    """detectron2's ResNet as functions of its state dict; `in_1x1` is STRIDE_IN_1X1."""

    def __init__(self, state: dict[str, Tensor], groups: int, in_1x1: bool) -> None:
        self.state, self.groups, self.in_1x1 = state, groups, in_1x1
        self.used: set[str] = set()

    def get(self, name: str) -> Tensor:
        self.used.add(name)
        return self.state[name]

    def convolution(self, x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = self.get(f"{name}.weight")
        x = conv2d(x, kernel, None, stride, kernel.shape[-1] // 2, 1, groups)
        parts = (self.get(f"{name}.norm.{part}") for part in ("running_mean", "running_var", "weight", "bias"))
        return batch_norm(x, *parts, eps=1e-5)

    def block(self, x: Tensor, name: str, stride: int) -> Tensor:
        shortcut = self.convolution(x, f"{name}.shortcut", stride) if f"{name}.shortcut.weight" in self.state else x
        if f"{name}.conv3.weight" in self.state:
            first, second = (stride, 1) if self.in_1x1 else (1, stride)
            x = relu(self.convolution(x, f"{name}.conv1", first))
            x = relu(self.convolution(x, f"{name}.conv2", second, self.groups))
            return relu(self.convolution(x, f"{name}.conv3") + shortcut)
        x = relu(self.convolution(x, f"{name}.conv1", stride))
        return relu(self.convolution(x, f"{name}.conv2") + shortcut)

    def levels(self, x: Tensor) -> list[Tensor]:
        x = max_pool2d(relu(self.convolution(x, "stem.conv1", 2)), 3, 2, 1)
        maps = []
        for stage in (2, 3, 4, 5):
            for index in range(sum(f"res{stage}.{block}.conv1.weight" in self.state for block in range(40))):
                x = self.block(x, f"res{stage}.{index}", 2 if index == 0 and stage > 2 else 1)
            maps.append(x)
        return maps


NETWORKS: dict[str, tuple[dict[str, Any], Any]] = {
    "basic": ({**BASIC, "widths": PLAIN}, RGB),
    "msra": ({**BOTTLENECK, "stride_in": "1x1"}, CAFFE),
    "resnext": ({**BOTTLENECK, "groups": 4, "base_width": 64}, RGB),
    "wide": ({**BOTTLENECK, "base_width": 128}, RGB),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_every_array_is_used_and_features_agree(name: str, tmp_path: Path) -> None:
    options, contract = NETWORKS[name]
    backbone, network = small("resnet", options, contract)
    export = exported("detectron2", network, tmp_path / "out.pkl")
    content = pickle.loads((tmp_path / "out.pkl").read_bytes())
    state = {key: torch.from_numpy(array) for key, array in content["model"].items()}
    network = Network(state, options.get("groups", 1), "STRIDE_IN_1X1: True" in export.snippet)
    x = images(64, 96)
    for got, expected in zip(network.levels(x), backbone(x), strict=True):
        assert error(got, expected) < 1e-5
    assert network.used == state.keys()
    # detectors keep the backbone under a prefix: without heuristics they would find none of these names
    assert content["matching_heuristics"] is True and content["__author__"]


def test_our_own_reader_gets_the_same_back(tmp_path: Path) -> None:
    _, network = small("resnet", {**BOTTLENECK, "widths": PLAIN})
    exported("detectron2", network, tmp_path / "out.pkl")
    again, report = load_backbone(tmp_path / "out.pkl")
    state = again.network.state_dict()
    assert report.family == "detectron2"
    assert all(torch.equal(state[n], v.load()) for n, v in network.values.items() if not n.endswith("batches_tracked"))


def test_the_snippet_has_the_contract(tmp_path: Path) -> None:
    _, network = small("resnet", {**BOTTLENECK, "stride_in": "1x1"}, CAFFE)
    lines = exported("detectron2", network, tmp_path / "out.pkl").snippet.splitlines()
    assert "  PIXEL_MEAN: [103.53, 116.28, 123.675]" in lines and "  PIXEL_STD: [1.0, 1.0, 1.0]" in lines
    assert '  FORMAT: "BGR"' in lines and "    DEPTH: 50" in lines and "    RES2_OUT_CHANNELS: 32" in lines


@torch.no_grad()
def test_a_vit_without_class_token_keeps_timms_names(tmp_path: Path) -> None:
    backbone, network = small("vit", {**VIT, "class_token": False})
    export = exported("detectron2", network, tmp_path / "out.pkl")
    assert set(export.tensors) == {name for name in backbone.network.state_dict() if not name.startswith("norm.")}
    assert "pretrain_use_cls_token=False" in export.snippet


def test_another_suffix_would_be_read_as_another_format(tmp_path: Path) -> None:
    _, network = small("resnet", {**BASIC, "widths": PLAIN})
    with pytest.raises(BadOption, match=r"\.pkl"):
        exported("detectron2", network, tmp_path / "out.pth")
    assert not list(tmp_path.iterdir())


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "slim": ("resnet", {**BOTTLENECK, "stride_in": "last_unit"}, "last_unit"),
    "resnet-d": ("resnet", {**BASIC, "stem": "deep", "avg_down": True}, "average pooling"),
    "same": ("resnet", {**BASIC, "padding": "same"}, "padding of convolutions"),
    "eps": ("resnet", {**BASIC, "widths": PLAIN, "eps": 1e-3}, "epsilon"),
    "narrow": ("resnet", BASIC, "another width than 64"),
    "depths": ("resnet", {**BASIC, "widths": PLAIN, "depths": [1, 1, 1, 1]}, "no ResNet with a number"),
    "class token": ("vit", VIT, "class token is True, where .* has False"),
    "swin": ("swin", {"dim": 32, "depths": [1] * 4, "heads": [1, 2, 4, 8], "window": 4, "patch": 4}, "no networks"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_detectron2_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    kind, options, reason = REFUSED[name]
    _, network = small(kind, options)
    with pytest.raises(Inexpressible, match=reason):
        exported("detectron2", network, tmp_path / "out.pkl")
    assert not list(tmp_path.iterdir())
