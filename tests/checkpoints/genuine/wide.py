"""Wide residual networks of semi-supervised learning, from the paper and the projects' descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor
from torch.nn.functional import leaky_relu

from tests.backbones.networks import norm
from tests.checkpoints.genuine.files import State
from tests.checkpoints.genuine.variables import norm_shapes

UNITS, STEM, WIDTHS = 4, 16, [20, 24, 28]
Convolution = Callable[..., Tensor]


def wide_shapes(bias: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Shapes of a WRN-28 with the PyTorch ports' names; `bias` of the convolutions: none, stem or all."""

    def conv(name: str, outputs: int, inputs: int, side: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (outputs, inputs, side, side)
        if bias == "all" or (bias == "stem" and name == "conv1"):
            yield f"{name}.bias", (outputs,)

    yield from conv("conv1", STEM, 3, 3)
    inputs = STEM
    for block, width in enumerate(WIDTHS, 1):
        for unit in range(UNITS):
            name = f"block{block}.layer.{unit}"
            yield from norm_shapes(f"{name}.bn1", inputs)
            yield from conv(f"{name}.conv1", width, inputs, 3)
            yield from norm_shapes(f"{name}.bn2", width)
            yield from conv(f"{name}.conv2", width, width, 3)
            if unit == 0:
                yield from conv(f"{name}.convShortcut", width, inputs, 1)
            inputs = width
    yield from norm_shapes("bn1", inputs)


def wide_maps(
    state: State, x: Tensor, conv: Convolution, *, activated: bool, eps: float, final_eps: float
) -> list[Tensor]:
    """Maps of the blocks, and the last one normed and activated.

    `activated` says whether the first convolution of blocks 2 and 3 gets the activated input.
    """

    def active(x: Tensor, name: str, eps: float = eps) -> Tensor:
        return leaky_relu(norm(x, state, name, eps), 0.1)

    def convolved(x: Tensor, name: str, stride: int = 1) -> Tensor:
        return conv(x, state[f"{name}.weight"], stride, state.get(f"{name}.bias"))

    x, maps = convolved(x, "conv1"), []
    for block in (1, 2, 3):
        for unit in range(UNITS):
            name, stride = f"block{block}.layer.{unit}", 2 if block > 1 and unit == 0 else 1
            hidden = active(x, f"{name}.bn1")
            if unit == 0:
                shortcut = convolved(hidden if block == 1 else x, f"{name}.convShortcut", stride)
                hidden = hidden if block == 1 or activated else x
            else:
                shortcut = x
            hidden = active(convolved(hidden, f"{name}.conv1", stride), f"{name}.bn2")
            x = shortcut + convolved(hidden, f"{name}.conv2")
        maps.append(x)
    return [*maps, active(x, "bn1", final_eps)]
