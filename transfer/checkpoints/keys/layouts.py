"""Layouts of names that several projects share: torchvision's ResNet, timm's ViT, Swin, ConvNeXt and ResNetV2."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Drop, Rename, Reshape, Rule

GENERIC_KEYS = ("state_dict", "model", "module", "model_state_dict", "net", "network", "app", "checkpoint")
"""Keys under which files keep their network when its method has no name for it, in order of preference."""

AVERAGES = ("state_dict_ema", "model_ema", "ema_model", "ema", "ema_state_dict", "shadow")
"""Keys under which training scripts keep the moving average of the weights."""

CLASSIFIER = "classifier: not part of the backbone"
POOLED_NORM = "norm between pooling and classifier"
BUFFER = "buffer that follows from the window size"


@dataclass(frozen=True)
class Layout:
    """The names of one kind of network: any that matches `body` tells it, `head` matches those after the backbone."""

    name: str
    kind: str
    body: str
    head: str


RESNET = Layout("ResNet", "resnet", r"layer[1-4]\.\d+\.(conv|bn)\d\.", r"fc\.")
VIT = Layout("ViT", "vit", r"blocks\.\d+\.(norm1|attn|mlp)\.", r"(head|head_dist|pre_logits|fc_norm)\.")
SWIN = Layout("Swin", "swin", r"layers\.[0-3]\.blocks\.\d+\.", r"head\.")
BEIT = Layout(
    "BEiT", "beit", r"blocks\.\d+\.attn\.(q_bias|relative_position_bias_table)$|rel_pos_bias\.", r"(head|fc_norm)\."
)
RESNETV2 = Layout("ResNetV2", "resnetv2", r"stages\.\d\.blocks\.\d+\.(norm|conv)[123]\.", r"head\.")
CONVNEXT = Layout("ConvNeXt", "convnext", r"stages\.\d\.blocks\.\d+\.(conv_dw|norm|mlp)\.", r"head\.")
ORIGINAL_CONVNEXT = Layout("original ConvNeXt", "convnext", r"stages\.\d\.\d+\.(dwconv|pwconv[12])\.", r"head\.")
LAYOUTS = (RESNET, VIT, SWIN, RESNETV2, CONVNEXT, ORIGINAL_CONVNEXT)
"""Layouts whose names are canonical, up to heads and generations."""


def layout_of(names: Iterable[str], layouts: Iterable[Layout] = LAYOUTS) -> Layout | None:
    """Return the first layout whose body a name matches, None if there is none."""
    names = list(names)
    return next((layout for layout in layouts if any(re.match(layout.body, name) for name in names)), None)


def has_head(state_dict: StateDict, layout: Layout) -> bool:
    """Return whether something comes after the backbone."""
    return any(re.match(layout.head, name) for name in state_dict.tensors)


def generic_network(contents: Contents, layouts: Iterable[Layout] = LAYOUTS) -> tuple[StateDict, Layout] | None:
    """Return the first state dict under generic keys with a layout, and the layout; else a moving average's."""
    layouts = tuple(layouts)
    for state_dict in (*generic_state_dicts(contents), *averages(contents)):
        if layout := layout_of(state_dict.tensors, layouts):
            return state_dict, layout
    return None


def generic_state_dicts(contents: Contents) -> list[StateDict]:
    """Return state dicts under generic keys in any nesting, the outer and preferred ones first, the root's last."""

    def order(path: str) -> tuple[bool, int, list[int]]:
        return not path, path.count("."), [GENERIC_KEYS.index(key) for key in path.split(".") if path]

    paths = [path for path in contents.state_dicts if set(path.split(".")) <= {*GENERIC_KEYS, ""}]
    return [contents.state_dicts[path] for path in sorted(paths, key=order)]


def averages(contents: Contents) -> list[StateDict]:
    """Return moving averages, in any nesting with generic keys."""
    return [state_dict for path, state_dict in contents.state_dicts.items() if is_average(path)]


def is_average(path: str) -> bool:
    """Return whether a state dict's path says that it is a moving average."""
    keys = set(path.split("."))
    return bool(keys & set(AVERAGES)) and keys <= {*AVERAGES, *GENERIC_KEYS}


def has_deep_stem(state_dict: StateDict) -> bool:
    """Return whether three convolutions stand in the place of one of 7x7: ResNet-C, -D and the like."""
    return any(re.match(r"conv1\.\d", name) for name in state_dict.tensors)


def names_under(state_dict: StateDict, prefix: str) -> list[str]:
    """Return what follows `prefix` in the names that begin with it."""
    return [name.removeprefix(prefix) for name in state_dict.tensors if name.startswith(prefix)]


def is_torchvision_resnet(state_dict: StateDict, layout: Layout) -> bool:
    """Return whether the names are those of a torchvision ResNet."""
    return layout == RESNET and not has_deep_stem(state_dict)


def canonical_rules(names: Iterable[str], layout: Layout) -> tuple[Rule, ...]:
    """Return rules from `layout`, of any generation of timm, to canonical names; tensors of the head are dropped."""
    return _RULES[layout](names)


def _resnet_rules(_names: Iterable[str]) -> tuple[Rule, ...]:
    return (Drop(r"fc\..*", CLASSIFIER),)


def _vit_rules(_names: Iterable[str]) -> tuple[Rule, ...]:
    # a distillation token is a register: it has a position, attends, and stands behind the class token
    return (
        Drop(r"(head|head_dist)\..*", CLASSIFIER),
        Drop(r"pre_logits\..*", "representation layer of the classifier"),
        Drop(r"fc_norm\..*", POOLED_NORM),
        Rename(r"dist_token", "reg_token"),
    )


def _swin_rules(names: Iterable[str]) -> tuple[Rule, ...]:
    rules: tuple[Rule, ...] = (
        Drop(r"head\..*", CLASSIFIER),
        Drop(r".*\.(relative_position_index|attn_mask)", BUFFER),
    )
    if any(name.startswith("layers.0.downsample.") for name in names):
        # timm < 0.8 and the original repository end a stage with the merge that now begins the next one
        return (
            *rules,
            Rename(r"layers\.2\.downsample\.(.*)", r"layers.3.downsample.\1"),
            Rename(r"layers\.1\.downsample\.(.*)", r"layers.2.downsample.\1"),
            Rename(r"layers\.0\.downsample\.(.*)", r"layers.1.downsample.\1"),
        )
    return rules


def _beit_rules(_names: Iterable[str]) -> tuple[Rule, ...]:
    return (
        Drop(r"head\..*", CLASSIFIER),
        Drop(r"fc_norm\..*", "norm between pooling and classifier"),
        Drop(r"(.*\.)?relative_position_index", BUFFER),
        Drop(r"mask_token", "token that stands in for masked patches in pre-training"),
        Drop(r"lm_head\..*", "head that predicts masked patches"),
    )


def _resnetv2_rules(_names: Iterable[str]) -> tuple[Rule, ...]:
    return (Drop(r"head\..*", CLASSIFIER),)


def _convnext_rules(_names: Iterable[str]) -> tuple[Rule, ...]:
    return (Drop(r"head\.norm\..*", POOLED_NORM), Drop(r"head\..*", CLASSIFIER))


def _original_convnext_rules(_names: Iterable[str]) -> tuple[Rule, ...]:
    """Return those of facebookresearch/ConvNeXt and ConvNeXt-V2; DINOv3 lists the last norm again, as `norms.3`."""
    block = r"stages\.(\d+)\.(\d+)\."
    return (
        Drop(r"norms?\..*", POOLED_NORM),
        Drop(r"head\..*", CLASSIFIER),
        Rename(r"downsample_layers\.0\.(.*)", r"stem.\1"),
        Rename(r"downsample_layers\.(\d+)\.(.*)", r"stages.\1.downsample.\2"),
        Rename(block + r"dwconv\.(.*)", r"stages.\1.blocks.\2.conv_dw.\3"),
        Rename(block + r"pwconv([12])\.(.*)", r"stages.\1.blocks.\2.mlp.fc\3.\4"),
        Rename(block + r"grn\.gamma", r"stages.\1.blocks.\2.mlp.grn.weight"),
        Rename(block + r"grn\.beta", r"stages.\1.blocks.\2.mlp.grn.bias"),
        Reshape(r".*\.mlp\.grn\.(weight|bias)", (-1,)),
        Rename(block + r"((?:norm\.|gamma).*)", r"stages.\1.blocks.\2.\3"),
    )


_RULES: dict[Layout, Callable[[Iterable[str]], tuple[Rule, ...]]] = {
    RESNET: _resnet_rules,
    VIT: _vit_rules,
    SWIN: _swin_rules,
    BEIT: _beit_rules,
    RESNETV2: _resnetv2_rules,
    CONVNEXT: _convnext_rules,
    ORIGINAL_CONVNEXT: _original_convnext_rules,
}


def legacy_batchnorm(names: Iterable[str]) -> tuple[AllowedMissing, ...]:
    """Return what a ResNet saved before torch 0.4.1 may lack: it did not count batches."""
    if any(name.endswith("num_batches_tracked") for name in names):
        return ()
    return (AllowedMissing(r".*\.num_batches_tracked|bn1\.num_batches_tracked", "torch < 0.4.1 counted no batches: 0"),)
