"""Learning rates that shrink towards the backbone's input, and no weight decay where it would pull towards nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from transfer.backbones.building import Backbone
from transfer.errors import BadOption

POSITIONS = ("pos_embed", "position_bias_table")
"""How names of parameters that say where things are end."""


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecay(DefaultOptimWrapperConstructor):
    """Layer-wise decay of the learning rate (Clark et al., ELECTRA, ICLR 2020; Bao et al., BEiT, ICLR 2022).

    Parameters of block k of a backbone of n blocks train at `layer_decay ** (n + 1 - k)` times the rate, the stem as
    block 0, necks and heads at the rate itself. Norms, biases and positions have no weight decay. `paramwise_cfg` is
    `{"layer_decay": 0.7}`; 1 leaves the rate alone. Raises BadOption for a value that is not above 0 and at most 1.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any]) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        self.layer_decay = paramwise_cfg["layer_decay"]
        if not 0 < self.layer_decay <= 1:
            raise BadOption(f"layer_decay must be above 0 and at most 1, not {self.layer_decay}.")

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **_place: Any) -> None:
        """Append a group for each rate and decay, the full rate first: it is the one that logs show."""
        (backbone,) = [part for part in module.modules() if isinstance(part, Backbone)]
        layers = _layers(backbone)
        scales = {id(p): self.layer_decay ** (len(layers) - k) for k, layer in enumerate(layers) for p in layer}
        groups: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                decays = parameter.ndim > 1 and not name.endswith(POSITIONS)
                groups[scales.get(id(parameter), 1.0), decays].append(parameter)
        params += [
            {"params": parameters, "lr": self.base_lr * scale, **({} if decays else {"weight_decay": 0.0})}
            for (scale, decays), parameters in sorted(groups.items(), key=lambda group: group[0], reverse=True)
        ]


def _layers(backbone: Backbone) -> list[list[nn.Parameter]]:
    """Parameters of the stem, then of each block, in the order of the forward pass."""
    behind = [backbone.network.get_submodule(name) for name in backbone.kind.after_levels]
    stem, *stages = backbone.stages()
    blocks = [block for stage in stages for module in stage if module not in behind for block in _blocks(module)]
    return [[parameter for module in stem for parameter in module.parameters()], *blocks]


def _blocks(module: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters of each block of a stage, or of a block; what a stage begins with belongs to its first block."""
    inner = next((child for name, child in module.named_children() if name in ("blocks", "layer")), module)
    if not isinstance(inner, nn.Sequential | nn.ModuleList):
        return [list(module.parameters())]
    first, *rest = (list(block.parameters()) for block in inner)
    inside = {id(parameter) for parameter in inner.parameters()}
    return [[*(p for p in module.parameters() if id(p) not in inside), *first], *rest]
