from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.backbones.networks import convolution
from tests.checkpoints.genuine.files import Genuine, State, noisy, prefixed
from tests.checkpoints.genuine.variables import drawn
from tests.checkpoints.genuine.wide import WIDTHS, wide_maps, wide_shapes

Tree = Callable[[State, State], Any]


def head(name: str, classes: int) -> State:
    return {f"{name}.weight": torch.zeros(classes, WIDTHS[-1]), f"{name}.bias": torch.zeros(classes)}


def wide(bias: str, tree: Tree, eps: float, final_eps: float, which: str | None = None) -> Genuine:
    state = drawn(wide_shapes(bias))
    counted = state | {n.replace("running_var", "num_batches_tracked"): torch.tensor(3) for n in state if "_var" in n}
    networks = (noisy(counted), counted) if which == "model" else (counted, noisy(counted))

    def maps(images: Tensor, index: Any) -> Any:
        return wide_maps(state, images, convolution, activated=False, eps=eps, final_eps=final_eps)[index]

    return Genuine(
        tree(*networks),
        "usb",
        lambda x: maps(x, slice(3)),
        lambda x: maps(x, 3),
        ((32, 32), (40, 28)),
        options={"which": which} if which else None,
    )


def usb(ema: State, model: State) -> Any:
    networks = {"model": model | head("classifier", 10), "ema_model": ema | head("classifier", 10)}
    return {**networks, "optimizer": {}, "loss_scaler": {}, "it": 1, "epoch": 1, "best_it": 0, "best_eval_acc": 0.9}


def usb_remixmatch(ema: State, model: State) -> Any:
    trees = usb(ema, model)
    rotations = head("rot_classifier", 4)
    return trees | {name: prefixed("backbone.", trees[name]) | rotations for name in ("model", "ema_model")}


def torchssl(ema: State, model: State) -> Any:
    networks = {"model": model, "ema_model": ema}
    trees = {name: prefixed("module.", state | head("fc", 100)) for name, state in networks.items()}
    return {**trees, "optimizer": {}, "scheduler": {}, "it": 1}


def kekmodel(ema: State, model: State) -> Any:
    trees = {"state_dict": model | head("fc", 10), "ema_state_dict": ema | head("fc", 10)}
    return {"epoch": 3, **trees, "acc": 0.9, "best_acc": 0.9, "optimizer": {}, "scheduler": {}}


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "usb: usb": lambda: wide("stem", usb, 1e-5, 1e-3),
    "usb: usb with rotations": lambda: wide("stem", usb_remixmatch, 1e-5, 1e-3),
    "usb: torchssl": lambda: wide("all", torchssl, 1e-3, 1e-3),
    "usb: kekmodel": lambda: wide("none", kekmodel, 1e-5, 1e-5),
    "usb: kekmodel's model": lambda: wide("none", kekmodel, 1e-5, 1e-5, "model"),
    "usb: weights alone": lambda: wide("none", lambda ema, _: ema, 1e-5, 1e-5),
}
