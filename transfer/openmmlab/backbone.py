"""One backbone for mmdet, mmseg and mmpose: a canonical network, filled from a converted file or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from transfer.backbones.building import build_backbone
from transfer.checkpoints.loading import fill_backbone
from transfer.errors import BadOption, UnknownName
from transfer.openmmlab.norms import convert_norms
from transfer.spec.checkpoint import BackboneSpec


@MODELS.register_module()
class TransferBackbone(BaseModule):
    """`(B, 3, H, W)` normalised images → tuple of all feature levels, finest first.

    `spec` is a BackboneSpec as JSON; `weights` a `backbone.safetensors` of `transfer convert`, loaded strictly in
    `init_weights`, or None for a random initialisation; `output_stride` 8 or 16 dilates convolutional trunks;
    `frozen_stages` follows mmdet (-1 none, 0 the stem, k the stem and the first k stages), and `all_but_last` and `all`
    mean that for trunks of any number of stages;
    `norm` is `sync`, `eval` or `frozen` (see `transfer.openmmlab.norms`).
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        weights: str | None,
        output_stride: int = 32,
        frozen_stages: int | str = -1,
        norm: str = "sync",
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(BackboneSpec.from_json(spec), output_stride=output_stride)
        self.weights = weights
        self.frozen_stages = _stages(frozen_stages, len(self.backbone.stages()) - 1)
        self.norm = norm
        for module in (*self._frozen(), *self._unused()):
            module.requires_grad_(False)

    def init_weights(self) -> None:
        """Fill the trunk from the converted file; a random initialisation happened at construction."""
        if self.weights is not None:
            fill_backbone(self.backbone, Path(self.weights))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All levels."""
        return tuple(self.backbone(images))

    def train(self, mode: bool = True) -> TransferBackbone:
        """Keep frozen stages in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _unused(self) -> list[torch.nn.Module]:
        """Levels end before a final norm; distributed training waits for every gradient."""
        trunk = self.backbone.trunk
        return [trunk.get_submodule(name) for name in self.backbone.kind.after_levels if hasattr(trunk, name)]

    def _frozen(self) -> list[torch.nn.Module]:
        """Looked up anew each time: converting norms replaces modules."""
        return [module for stage in self.backbone.stages()[: self.frozen_stages + 1] for module in stage]


def _stages(frozen: int | str, stages: int) -> int:
    """`frozen_stages` as a number, for a trunk of so many stages."""
    named = {"all": stages, "all_but_last": stages - 1}
    if isinstance(frozen, str) and frozen not in named:
        raise UnknownName.among("value of frozen_stages", frozen, named)
    if isinstance(frozen, int) and not -1 <= frozen <= stages:
        raise BadOption(f"frozen_stages must be -1 to {stages} for a trunk of {stages} stages, not {frozen}.")
    return named[frozen] if isinstance(frozen, str) else frozen


def apply_norm_policies(model: torch.nn.Module, processes: int) -> torch.nn.Module:
    """The trunk gets its recipe's norm policy; necks and heads take statistics over the global batch."""
    for name, child in model.named_children():
        policy = child.norm if isinstance(child, TransferBackbone) else "sync"
        setattr(model, name, convert_norms(child, policy, processes))
    return model
