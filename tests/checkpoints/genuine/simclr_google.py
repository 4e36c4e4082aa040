from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tests.backbones.networks import resnet_maps, same_max_pool
from tests.checkpoints.genuine.files import State, noisy
from tests.checkpoints.genuine.variables import PARTS, Variables, drawn, hwio, resnet_shapes

DEPTHS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}
WIDTHS = [4, 6, 8, 12]
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = "/.OPTIMIZER_SLOT/optimizer/momentum"


def state_of(depth: int) -> State:
    shapes = resnet_shapes(DEPTHS[depth], WIDTHS, 4, bottleneck=depth >= 50, projection=True)
    return hwio(drawn(shapes))


def creation(depth: int) -> Iterator[tuple[str, str]]:
    """Convolution and norm in the order in which resnet.py makes them."""
    yield "conv1", "bn1"
    for layer, units in enumerate(DEPTHS[depth], 1):
        for unit in range(units):
            name = f"layer{layer}.{unit}"
            if unit == 0:
                yield f"{name}.downsample.0", f"{name}.downsample.1"
            for number in (1, 2, 3) if depth >= 50 else (1, 2):
                yield f"{name}.conv{number}", f"{name}.bn{number}"


def tensorflow1(state: State, depth: int) -> State:
    variables = {}
    for number, (conv, norm) in enumerate(creation(depth)):
        suffix = f"_{number}" if number else ""
        variables[f"base_model/conv2d{suffix}/kernel"] = state[f"{conv}.weight"]
        for part, theirs in PARTS.items():
            variables[f"base_model/batch_normalization{suffix}/{theirs}"] = state[f"{norm}.{part}"]
    slots = {f"{name}/Momentum": tensor for name, tensor in variables.items() if "moving_" not in name}
    heads = {
        "head_contrastive/nl_0/dense/kernel": torch.zeros(8, 8),
        "head_contrastive/nl_0/batch_normalization/gamma": torch.ones(8),
        "head_supervised/linear_layer/dense/kernel": torch.zeros(8, 7),
    }
    return variables | slots | heads


def tensorflow2(state: State, depth: int, root: str = "model/") -> State:
    """Paths through the objects of tf2/resnet.py."""
    layers, shortcut, step = ("conv_relu_dropblock_layers", "projection_layers", 3) if depth >= 50 else (
        "conv2d_bn_layers", "shortcut_layers", 2)  # fmt: skip
    variables = {}
    for conv, norm in creation(depth):
        first, *rest = conv.split(".")
        group = f"block_groups/{int(first[-1]) - 1}/layers/{rest[0]}" if rest else "initial_conv_relu_max_pool"
        if not rest:
            places = (f"{group}/0", f"{group}/2")
        elif rest[1] == "downsample":
            places = (f"{group}/{shortcut}/0", f"{group}/{shortcut}/1")
        else:
            index = step * (int(rest[1][-1]) - 1)
            places = (f"{group}/{layers}/{index}", f"{group}/{layers}/{index + 1}")
        variables[f"{places[0]}/conv2d/kernel"] = state[f"{conv}.weight"]
        variables |= {f"{places[1]}/bn/{theirs}": state[f"{norm}.{part}"] for part, theirs in PARTS.items()}
    named = {f"{root}resnet_model/{name}": tensor for name, tensor in variables.items()}
    named |= {f"{root}_projection_head/linear_layers/0/dense/kernel": torch.zeros(8, 8)}
    slots = {f"{name}{SLOT}{VALUE}": tensor for name, tensor in named.items() if "moving_" not in name}
    counters = {f"{name}{VALUE}": torch.tensor(3) for name in ("global_step", "save_counter", "optimizer/iter")}
    return {f"{name}{VALUE}": tensor for name, tensor in named.items()} | slots | counters


def simclr(variables: Callable[[State, int], State], depth: int, which: str | None = None) -> Variables:
    state = state_of(depth)
    canonical = {n: t.permute(3, 2, 0, 1) if t.ndim == 4 else t for n, t in state.items()}

    def levels(images: Tensor) -> list[Tensor]:
        return resnet_maps(canonical, images, DEPTHS[depth], pool=same_max_pool)

    options = {"which": which} if which else None
    return Variables(variables(state, depth), "simclr_google", levels, lambda x: levels(x)[-1], options=options)


def with_ema(state: State, depth: int, *, chosen: str) -> State:
    """SimCLR v2: a second network under ema_model."""
    ours, other = tensorflow1(state, depth), noisy(tensorflow1(state, depth))
    trained, average = (ours, other) if chosen == "model" else (other, ours)
    averages = {f"ema_model/{n}": t for n, t in average.items() if "Momentum" not in n and "supervised" not in n}
    return trained | averages | {"global_step": torch.tensor(9)}


LAYOUTS: dict[str, Callable[[], Variables]] = {
    "simclr_google: tf1 resnet50": lambda: simclr(tensorflow1, 50),
    "simclr_google: tf1 resnet18": lambda: simclr(tensorflow1, 18),
    "simclr_google: v2 next to its average": lambda: simclr(lambda s, d: with_ema(s, d, chosen="model"), 18),
    "simclr_google: v2 average": lambda: simclr(lambda s, d: with_ema(s, d, chosen="ema"), 18, "ema"),
    "simclr_google: tf2 resnet50": lambda: simclr(tensorflow2, 50),
    "simclr_google: tf2 resnet34": lambda: simclr(tensorflow2, 34),
    "simclr_google: tf2 model alone": lambda: simclr(lambda s, d: tensorflow2(s, d, ""), 18),
}
