"""Build networks from a BackboneSpec."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

from transfer.backbones.beit import BEIT
from transfer.backbones.convnext import CONVNEXT
from transfer.backbones.dinov3 import DINOV3
from transfer.backbones.kind import Kind, Level
from transfer.backbones.resnet import RESNET
from transfer.backbones.resnetv2 import RESNETV2
from transfer.backbones.swin import SWIN
from transfer.backbones.vit import VIT
from transfer.backbones.wide_resnet import WIDE_RESNET
from transfer.errors import UnknownName
from transfer.schemas.checkpoint import BackboneSpec

KINDS: tuple[Kind, ...] = (RESNET, RESNETV2, WIDE_RESNET, CONVNEXT, VIT, BEIT, DINOV3, SWIN)


class Backbone(nn.Module):
    """A canonical network without head.

    `network` is the timm network: the names of its `state_dict` are the canonical names. `levels` says stride and
    channels of what `forward` returns.
    """

    def __init__(self, spec: BackboneSpec, kind: Kind, network: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.kind = kind
        self.network = network
        self.levels: tuple[Level, ...] = kind.levels(network)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return feature levels `(B, C, H/stride, W/stride)` of normalised images `(B, 3, H, W)`, finest first.

        Hierarchical backbones: the output of each stage. Plain ViTs: the patch tokens after the blocks that end each
        quarter of the depth, before the final norm. A wide ResNet for small images has three levels, other
        backbones four.
        """
        return self.kind.maps(self.network, images)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return what timm does: final normalised tokens, class and registers first, or a hierarchy's last map."""
        features: Tensor = self.network.forward_features(images)  # type: ignore[operator]
        return features

    def stages(self) -> list[list[nn.Module]]:
        """Return modules of the stem, then of each stage (as many as levels); k + 1 frozen lists freeze k stages.

        A plain ViT's stem holds its class, register and position parameters (as a ParameterList), its stages are
        quarters of the depth. The final norm belongs to the last stage.
        """
        return self.kind.stages(self.network)


def build_backbone(spec: BackboneSpec, *, output_stride: int | None = None) -> Backbone:
    """Build a network of `spec` with random weights; convolutional ones dilate for an `output_stride` of 8 or 16.

    By default the output stride is the one of the source network, 32 for most.

    Raises UnknownName for a kind that has no builder, UnsupportedNetwork for an output stride that the kind cannot
    have.
    """
    kind = kind_of(spec)
    return Backbone(spec, kind, kind.build(spec.options, output_stride or spec.options.get("output_stride", 32)))


def kind_of(spec: BackboneSpec) -> Kind:
    """Return the kind that builds `spec`. Raises UnknownName."""
    kind = next((kind for kind in KINDS if kind.name == spec.kind), None)
    if kind is None:
        raise UnknownName.among("kind of backbone", spec.kind, (kind.name for kind in KINDS))
    return kind


def outline_of(spec: BackboneSpec, *, output_stride: int | None = None) -> Backbone:
    """Build the network without storage: names, shapes and levels."""
    with torch.device("meta"):
        return build_backbone(spec, output_stride=output_stride)


def levels_of(spec: BackboneSpec, *, output_stride: int | None = None) -> tuple[Level, ...]:
    """Return stride and channels of each feature level, without allocating weights."""
    return outline_of(spec, output_stride=output_stride).levels


def backbone_shapes(spec: BackboneSpec) -> dict[str, torch.Tensor]:
    """Return the `state_dict` without values: canonical names, shapes and dtypes, in the network's order."""
    return dict(outline_of(spec).network.state_dict())


def stage_of_tensors(backbone: Backbone) -> dict[str, str]:
    """Map names in the `state_dict` to `stem`, `stage 1`, ...; `beside` for what belongs to none."""
    stages = {
        id(tensor): "stem" if index == 0 else f"stage {index}"
        for index, modules in enumerate(backbone.stages())
        for module in modules
        for tensor in chain(module.parameters(), module.buffers())
    }
    named = chain(backbone.network.named_parameters(), backbone.network.named_buffers())
    return {name: stages.get(id(tensor), "beside") for name, tensor in named}
