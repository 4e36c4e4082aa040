"""One backbone for mmdet, mmseg and mmpose: a canonical network, filled from a converted file or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

from transfer.backbones.building import Backbone, build_backbone
from transfer.backbones.windows import windowed_maps
from transfer.checkpoints.loading import fill_backbone
from transfer.errors import BadOption, UnknownName
from transfer.openmmlab.norms import convert_norms
from transfer.schemas.checkpoint import BackboneSpec


@MODELS.register_module()
class TransferBackbone(BaseModule):
    """`(B, 3, H, W)` normalised images → tuple of all feature levels, finest first.

    `spec` is a BackboneSpec as JSON; `weights` a `backbone.safetensors` of `transfer convert`, loaded strictly in
    `init_weights`, or None for a random initialisation; `output_stride` 8 or 16 dilates convolutional backbones;
    `frozen_stages` follows mmdet (-1 none, 0 the stem, k the stem and the first k stages), and `all_but_last` and `all`
    mean that for backbones of any number of stages; `norm` is `sync`, `eval` or `frozen` (see
    `transfer.openmmlab.norms`). With `last_stage` False the backbone ends before it (a `LastStage` in a head has it)
    and has the level there alone. `window` lets all but four blocks of a `vit` attend within windows of so many cells a
    side (0: globally), without class and register tokens.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        weights: str | None,
        output_stride: int = 32,
        frozen_stages: int | str = -1,
        norm: str = "sync",
        last_stage: bool = True,
        window: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(BackboneSpec.from_json(spec), output_stride=output_stride)
        self.last_stage = last_stage
        if not last_stage:
            _cut_last_stage(self.backbone)
        self.weights = weights
        self.frozen_stages = _stages(frozen_stages, len(self.backbone.stages()) - 1)
        self.norm = norm
        self.window = window
        for part in (*self._frozen(), *self._unused()):
            part.requires_grad_(False)

    def init_weights(self) -> None:
        """Fill the backbone from the converted file; a random initialisation happened at construction."""
        if self.weights is None:
            return
        if self.last_stage:
            fill_backbone(self.backbone, Path(self.weights))
        else:
            whole = _filled(self.backbone.spec, self.weights)
            _cut_last_stage(whole)
            self.backbone.load_state_dict(whole.state_dict(), strict=True)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All levels, or the one before the last stage."""
        if self.window:
            return tuple(windowed_maps(self.backbone.network, images, self.window))
        levels = self.backbone(images)
        return tuple(levels) if self.last_stage else (levels[-2],)

    def train(self, mode: bool = True) -> TransferBackbone:
        """Keep frozen stages in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _unused(self) -> list[nn.Module | nn.Parameter]:
        """Levels end before a final norm, windows have no tokens; distributed training waits for every gradient."""
        network: Any = self.backbone.network
        tokens = [token for token in (network.cls_token, network.reg_token) if token is not None] if self.window else []
        return [
            *(getattr(network, name) for name in self.backbone.kind.after_levels if hasattr(network, name)),
            *tokens,
        ]

    def _frozen(self) -> list[nn.Module]:
        """Looked up anew each time: converting norms replaces modules."""
        return [module for stage in self.backbone.stages()[: self.frozen_stages + 1] for module in stage]


@MODELS.register_module()
class LastStage(BaseModule):
    """The last stage of a backbone, as the first part of a box head (Ren et al., NeurIPS 2015; conv5 of a ResNet).

    `(N, C, 14, 14)` of the level before → `(N, C', 7, 7)`. It is filled from the same converted file as the backbone
    whose `last_stage` is False, so that together they are that file's network. `extra_norm` ends it with a batch
    normalisation (MoCo's detection protocol). Other arguments as in TransferBackbone.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        weights: str | None,
        frozen_stages: int | str = -1,
        norm: str = "sync",
        extra_norm: bool = False,
    ) -> None:
        super().__init__()
        self.spec = BackboneSpec.from_json(spec)
        self.weights = weights
        self.norm = norm
        network = build_backbone(self.spec)
        stages = len(network.stages()) - 1
        self.frozen = _stages(frozen_stages, stages) == stages
        self.stage = nn.Sequential(*_last_stage(network))
        self.extra_norm = nn.BatchNorm2d(network.levels[-1].channels) if extra_norm else nn.Identity()
        if self.frozen:
            self.stage.requires_grad_(False)

    def init_weights(self) -> None:
        """Fill the stage from the converted file."""
        if self.weights is not None:
            whole = nn.Sequential(*_last_stage(_filled(self.spec, self.weights)))
            self.stage.load_state_dict(whole.state_dict(), strict=True)

    def forward(self, regions: torch.Tensor) -> torch.Tensor:
        """The last level's features of each region."""
        return self.extra_norm(self.stage(regions))

    def train(self, mode: bool = True) -> LastStage:
        """Keep a frozen stage in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.stage.eval()
        return self


def _filled(spec: BackboneSpec, weights: str) -> Backbone:
    """The whole network, every tensor of which has been accounted for."""
    whole = build_backbone(spec)
    fill_backbone(whole, Path(weights))
    return whole


def _last_stage(backbone: Backbone) -> list[nn.Module]:
    """Modules that make the last level of the one before; a norm behind the levels is none of them."""
    behind = [backbone.network.get_submodule(name) for name in backbone.kind.after_levels]
    return [module for module in backbone.stages()[-1] if module not in behind]


def _cut_last_stage(backbone: Backbone) -> None:
    modules = backbone.stages()[-1]
    for name in [name for name, module in backbone.network.named_modules() if module in modules]:
        backbone.network.set_submodule(name, nn.Identity())


def _stages(frozen: int | str, stages: int) -> int:
    """`frozen_stages` as a number, for a backbone of so many stages."""
    named = {"all": stages, "all_but_last": stages - 1}
    if isinstance(frozen, str) and frozen not in named:
        raise UnknownName.among("value of frozen_stages", frozen, named)
    if isinstance(frozen, int) and not -1 <= frozen <= stages:
        raise BadOption(f"frozen_stages must be -1 to {stages} for a backbone of {stages} stages, not {frozen}.")
    return named[frozen] if isinstance(frozen, str) else frozen


def apply_norm_policies(model: nn.Module, processes: int) -> nn.Module:
    """The backbone's parts get its recipe's norm policy; necks and heads take statistics over the global batch."""
    for child in model.children():
        if isinstance(child, TransferBackbone | LastStage):
            convert_norms(child, child.norm, processes)
        elif any(isinstance(module, LastStage) for module in child.modules()):
            apply_norm_policies(child, processes)
        else:
            convert_norms(child, "sync", processes)
    return model
