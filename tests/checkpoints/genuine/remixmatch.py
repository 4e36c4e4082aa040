from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.backbones.networks import same_convolution
from tests.checkpoints.genuine.files import State
from tests.checkpoints.genuine.variables import PARTS, Variables, drawn, hwio, with_average
from tests.checkpoints.genuine.wide import UNITS, WIDTHS, wide_maps, wide_shapes


def classify(state: State) -> State:
    """Layers in the order in which libml/models.py makes them: in a first unit the shortcut comes last."""
    convolutions, norms = ["conv1"], []
    for block in (1, 2, 3):
        for unit in range(UNITS):
            name = f"block{block}.layer.{unit}"
            convolutions += [f"{name}.conv1", f"{name}.conv2"] + [f"{name}.convShortcut"] * (unit == 0)
            norms += [f"{name}.bn1", f"{name}.bn2"]
    variables = {}
    for number, name in enumerate(convolutions):
        for part, theirs in (("weight", "kernel"), ("bias", "bias")):
            variables[f"classify/conv2d{f'_{number}' if number else ''}/{theirs}"] = state[f"{name}.{part}"]
    for number, name in enumerate([*norms, "bn1"]):
        for part, theirs in PARTS.items():
            variables[f"classify/batch_normalization{f'_{number}' if number else ''}/{theirs}"] = state[
                f"{name}.{part}"
            ]
    head = {"classify/dense/kernel": torch.zeros(WIDTHS[-1], 10), "classify/dense/bias": torch.zeros(10)}
    return variables | head


def fixmatch(*, ema: bool = True, which: str | None = None) -> Variables:
    state = drawn(wide_shapes("all"))
    variables = classify(hwio(state))
    if ema:
        variables = with_average(variables)
    if which == "model":
        variables = {n: t - 1 if "moving_" not in n and "/" not in n[len("classify/conv2d_00/") :] else t
                     for n, t in variables.items()}  # fmt: skip
    variables |= {"global_step": torch.tensor(5), "p_model": torch.ones(128, 10), "p_data": torch.ones(10)}

    def maps(images: Tensor, index: Any) -> Any:
        return wide_maps(state, images, same_convolution, activated=True, eps=1e-3, final_eps=1e-3)[index]

    options = {"which": which} if which else None
    sizes = ((32, 32), (40, 28))
    return Variables(variables, "remixmatch", lambda x: maps(x, slice(3)), lambda x: maps(x, 3), sizes, options=options)


LAYOUTS: dict[str, Callable[[], Variables]] = {
    "remixmatch: ema": fixmatch,
    "remixmatch: without ema": lambda: fixmatch(ema=False),
}
