from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    genuine_timm,
    old_swin,
    small_resnet,
    small_swin,
    small_vit,
)


def fractaldb_resnet() -> Genuine:
    network = small_resnet()
    tree = {"epoch": 90, "state_dict": network.state_dict(), "optimizer": {}, "scheduler": {"last_epoch": 90}}
    return genuine_resnet(tree, network, "fdsl", suffix=".pth.tar")


def fractaldb_raw() -> Genuine:
    network = small_resnet()
    return genuine_resnet(network.state_dict(), network, "fdsl", {"family": "fractaldb"})


def fractaldb_vit() -> Genuine:
    def tree(state: State) -> Any:
        return {"model": state, "optimizer": {}, "lr_scheduler": {}, "scaler": {}, "epoch": 1}

    return genuine_timm(small_vit(), tree, family="fdsl")


def visualatom_swin() -> Genuine:
    def tree(state: State) -> Any:
        args = argparse.Namespace(model="unnamed", experiment="VisualAtom1k")
        return {"epoch": 1, "arch": "unnamed", "state_dict": old_swin(state), "version": 2, "args": args}

    return genuine_timm(small_swin(), tree, sizes=((224, 224),), family="fdsl")


def rcdb_own() -> Genuine:
    network = small_resnet()
    contract = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "range": "0-1", "channel_order": "RGB"}
    tree = {
        "epoch": 3, "arch": "unnamed", "state_dict": network.state_dict(), "optimizer": {}, "scheduler": {}, "step": 9,
        "input": contract, "pretraining": {"method": "rcdb"},
    }  # fmt: skip
    return genuine_resnet(tree, network, "fdsl")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "fdsl: fractaldb resnet": fractaldb_resnet,
    "fdsl: fractaldb raw": fractaldb_raw,
    "fdsl: fractaldb vit": fractaldb_vit,
    "fdsl: visualatom swin": visualatom_swin,
    "fdsl: own rcdb": rcdb_own,
}
