from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.backbones.networks import convolution, norm, resnet_maps, same_max_pool
from tests.checkpoints.genuine.files import State
from tests.checkpoints.genuine.variables import PARTS, Variables, drawn, hwio, norm_shapes, resnet_shapes, with_average

DEPTHS, WIDTHS = [3, 4, 6, 3], [8, 16, 24, 32]
STEM = 64


def strides_at_ends(layer: int, unit: int) -> tuple[int, int]:
    return 1, 2 if layer < 4 and unit == DEPTHS[layer - 1] - 1 else 1


def scope_of(layer: str, unit: str, version: int) -> str:
    return f"block{layer}/unit_{int(unit) + 1}/bottleneck_v{version}"


def slims_name(name: str) -> str:
    """torchvision's names as resnet_v1's."""
    *module, part = name.split(".")
    if module[0] in ("conv1", "bn1"):
        return "conv1/weights" if module[0] == "conv1" else f"conv1/BatchNorm/{PARTS[part]}"
    layer = "shortcut" if "downsample" in module else f"conv{module[2][-1]}"
    last = "weights" if module[2].startswith("conv") or module[-1] == "0" else f"BatchNorm/{PARTS[part]}"
    return f"{scope_of(module[0][-1], module[1], 1)}/{layer}/{last}"


def logits(classes: int) -> State:
    return {"logits/weights": torch.zeros(1, 1, 4 * WIDTHS[-1], classes), "logits/biases": torch.zeros(classes)}


def scoped(scope: str, variables: State) -> State:
    return {f"{scope}/{name}": tensor for name, tensor in variables.items()} | {"global_step": torch.tensor(7)}


def resnet_v1(
    *, ema: bool = False, statistics: bool = False, classes: int = 7, scope: str = "resnet_v1_50", **options: str
) -> Variables:
    state = drawn(resnet_shapes(DEPTHS, WIDTHS, STEM, bottleneck=True))
    variables = {slims_name(name): tensor for name, tensor in hwio(state).items()} | logits(classes)
    variables |= {"mean_rgb": torch.tensor([123.68, 116.78, 103.94])}
    if ema:
        variables = with_average(variables, statistics=statistics)

    def levels(images: Tensor) -> list[Tensor]:
        return resnet_maps(state, images, DEPTHS, pool=same_max_pool, strides=strides_at_ends)

    return Variables(scoped(scope, variables), "slim", levels, lambda x: levels(x)[-1], options=options or None)


def preactivation_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "stem.conv.weight", (STEM, 3, 7, 7)
    yield "stem.conv.bias", (STEM,)
    inputs = STEM
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        for unit in range(depth):
            name, outputs = f"stages.{stage}.blocks.{unit}", 4 * width
            yield from norm_shapes(f"{name}.norm1", inputs)
            yield f"{name}.conv1.weight", (width, inputs, 1, 1)
            yield from norm_shapes(f"{name}.norm2", width)
            yield f"{name}.conv2.weight", (width, width, 3, 3)
            yield from norm_shapes(f"{name}.norm3", width)
            for conv, channels in [("conv3", width), *([("downsample.conv", inputs)] if unit == 0 else [])]:
                yield f"{name}.{conv}.weight", (outputs, channels, 1, 1)
                yield f"{name}.{conv}.bias", (outputs,)
            inputs = outputs
    yield from norm_shapes("norm", inputs)


def preactivation_maps(state: State, x: Tensor) -> list[Tensor]:
    """Maps of He et al., ECCV 2016, with slim's strides, and the normed last one."""

    def active(x: Tensor, name: str) -> Tensor:
        return torch.relu(norm(x, state, name))

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        return convolution(x, state[f"{name}.weight"], stride, state.get(f"{name}.bias"))

    x, maps = same_max_pool(conv(x, "stem.conv", 2)), []
    for stage, depth in enumerate(DEPTHS):
        for unit in range(depth):
            name, stride = f"stages.{stage}.blocks.{unit}", strides_at_ends(stage + 1, unit)[1]
            hidden = active(x, f"{name}.norm1")
            shortcut = x[:, :, ::stride, ::stride] if unit else conv(hidden, f"{name}.downsample.conv")
            hidden = active(conv(hidden, f"{name}.conv1"), f"{name}.norm2")
            x = shortcut + conv(active(conv(hidden, f"{name}.conv2", stride), f"{name}.norm3"), f"{name}.conv3")
        maps.append(x)
    return [*maps, active(x, "norm")]


def slims_v2_name(name: str) -> str:
    *module, part = name.split(".")
    kernels = {"weight": "weights", "bias": "biases"}
    if module[0] != "stages":
        return f"postnorm/{PARTS[part]}" if module[0] == "norm" else f"conv1/{kernels[part]}"
    places = {"norm1": "preact", "norm2": "conv1/BatchNorm", "norm3": "conv2/BatchNorm", "downsample": "shortcut"}
    last = PARTS[part] if module[4].startswith("norm") else kernels[part]
    return f"{scope_of(str(int(module[1]) + 1), module[3], 2)}/{places.get(module[4], module[4])}/{last}"


def resnet_v2() -> Variables:
    state = drawn(preactivation_shapes())
    variables = {slims_v2_name(name): tensor for name, tensor in hwio(state).items()} | logits(7)

    def maps(images: Tensor, which: Any) -> Any:
        return preactivation_maps(state, images)[which]

    levels, features = partial(maps, which=slice(4)), partial(maps, which=-1)
    return Variables(scoped("resnet_v2_50", variables), "slim", levels, features)


LAYOUTS: dict[str, Callable[[], Variables]] = {
    "slim: v1": resnet_v1,
    "slim: v1 ema": lambda: resnet_v1(ema=True),
    "slim: v1 ema of statistics": lambda: resnet_v1(ema=True, statistics=True),
    "slim: jft": lambda: resnet_v1(classes=18291),
    "slim: another scope": lambda: resnet_v1(scope="net"),
    "slim: v2": resnet_v2,
}
