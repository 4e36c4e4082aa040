"""ConvNeXt (Liu et al., CVPR 2022) and ConvNeXt V2 (Woo et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from transfer.backbones.kind import Kind, Level
from transfer.errors import UnsupportedNetwork


def build_convnext(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """Build a timm ConvNeXt without classifier; `output_stride` 8 or 16 trades the last strides for dilation.

    Options that shapes show: `depths`, `widths`, `patch` (4), `kernel` (of the depthwise convolutions, 7),
    `response_norm` (global response normalisation: V2), `layer_scale` (whether; V1 has it, V2 not), `final_norm`
    (a norm after the last stage and before pooling, `norm_pre`; usually the norm comes after pooling and belongs to
    the classifier), `convolutional_mlp` (1x1 convolutions instead of linear layers), `bias` (of convolutions).

    `eps` of the norms leaves no trace: 1e-6 in the original code and timm.
    """
    if output_stride not in (8, 16, 32):
        raise UnsupportedNetwork(f"output stride {output_stride}: a ConvNeXt has 8, 16 or 32.")
    network = ConvNeXt(
        num_classes=0,
        global_pool="",
        output_stride=output_stride,
        depths=tuple(options["depths"]),
        dims=tuple(options["widths"]),
        kernel_sizes=options.get("kernel", 7),
        patch_size=options.get("patch", 4),
        use_grn=options.get("response_norm", False),
        ls_init_value=1e-6 if options.get("layer_scale", True) else None,
        head_norm_first=options.get("final_norm", False),
        conv_mlp=options.get("convolutional_mlp", False),
        conv_bias=options.get("bias", True),
        norm_eps=options.get("eps", 1e-6),
    )
    if not options.get("final_norm", False):
        network.head = nn.Identity()  # it would norm what was pooled
    return network  # type: ignore[no-any-return]


def _levels(network: Any) -> tuple[Level, ...]:
    return tuple(Level(info["reduction"], info["num_chs"]) for info in network.feature_info)


def _maps(network: Any, images: Tensor) -> list[Tensor]:
    maps, x = [], network.stem(images)
    for stage in network.stages:
        x = stage(x)
        maps.append(x)
    return maps


def _stages(network: Any) -> list[list[nn.Module]]:
    *stages, last = ([stage] for stage in network.stages)
    return [[network.stem], *stages, [*last, network.norm_pre]]


CONVNEXT = Kind("convnext", build_convnext, _levels, _maps, _stages, dilates=True, after_levels=("norm_pre",))
