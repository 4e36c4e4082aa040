"""OpenMMLab: mmpretrain, mmselfsup, mmcls, mmdet, mmseg and mmpose, of mmengine's generation and of mmcv's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from transfer.checkpoints.families.shared.openmmlab.config import backbone_in, config_text, contract_in, dicts_in
from transfer.checkpoints.families.shared.openmmlab.names import openmmlab_key_mapping
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import names_under
from transfer.checkpoints.keys.rules import Apply, Drop, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONE = "backbone."
OTHERS = {
    "key": "encoder_k.module.0.",
    "target": "target_net.module.0.",
    "momentum": "momentum_encoder.module.0.",
}
"""Name of a method's second network → its prefix, behind a neck or a head of its own."""

SAID = (
    *("mmengine_version", "mmcv_version", "mmdet_version", "mmcls_version", "mmseg_version", "mmpose_version"),
    "cfg",
)
"""Keys of `meta` that only OpenMMLab's libraries write."""

WITHOUT_TOKEN: tuple[Rule, ...] = (
    Drop(r"cls_token", "with_cls_token=False: the network leaves it out"),
    Apply(r"pos_embed", lambda positions: positions[:, 1:], "without the class token's position"),
)
DETECTORS = ("mmdet", "mmseg", "mmpose")
UNSAID = (
    "no config in the file says how its images were normalised: ImageNet mean and standard deviation of RGB are "
    "assumed, as OpenMMLab's configs have them; models with `style='caffe'` were trained on BGR less the mean."
)


@dataclass(frozen=True)
class _Found:
    """A state dict with a backbone, the prefix of the backbone's names, and what they are names of."""

    state_dict: StateDict
    prefix: str
    key_mapping: KeyMapping

    def has(self, name: str) -> bool:
        return f"{self.prefix}{name}" in self.state_dict.tensors

    @property
    def where(self) -> str:
        return f"{self.prefix or 'bare names'}{'*' if self.prefix else ''} in {self.state_dict.where}"


def _recognise(contents: Contents) -> Claim | None:
    found = _found(contents)
    if found is None or "openselfsup_version" in contents.meta:
        return None
    said = next((key for key in SAID if key in contents.meta), None)
    if said is not None:
        return Claim(f"{said} in meta, {found.where}", decisive=True)
    if found.key_mapping.kind != "resnet" or any(
        name.startswith(f"{found.prefix}stem.7.") for name in found.state_dict.tensors
    ):
        return Claim(f"OpenMMLab's names of a {found.key_mapping.kind}, {found.where}", decisive=True)
    return None


def _found(contents: Contents) -> _Found | None:
    """Find the backbone under `backbone`, else an extracted one; mmengine stores its average in the model's place."""
    paths = [path for path in ("state_dict", "") if path in contents.state_dicts]
    for prefix in (BACKBONE, ""):
        for state_dict in (contents.state_dicts[path] for path in paths):
            if key_mapping := openmmlab_key_mapping(names_under(state_dict, prefix)):
                return _Found(state_dict, prefix, key_mapping)
    return None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = _found(contents)
    if found is None:
        return None
    dicts = dicts_in(config_text(contents.raw.tree))
    contract, config = contract_in(dicts), backbone_in(dicts)
    tokenless = found.key_mapping.kind == "vit" and config.get("with_cls_token") is False and found.has("cls_token")
    options = _options(found, config, _library(contents, found.state_dict, config))
    defaults = FamilyDefaults(
        contract or InputContract(IMAGENET_MEAN, IMAGENET_STD),
        options | ({"class_token": False} if tokenless else {}),
        heads=config.get("num_heads"),
        image=_sides(config.get("img_size")),
        warnings=() if contract else (UNSAID,),
    )
    networks = _networks(contents, found.state_dict) if found.prefix else {"model": Weights(found.state_dict)}
    key_mapping = replace(found.key_mapping, rules=(*(WITHOUT_TOKEN if tokenless else ()), *found.key_mapping.rules))
    return plan_weights(contents, networks, which, defaults, key_mapping)


def _sides(size: Any) -> tuple[int, int] | None:
    """Return height and width of the images that position embeddings belong to, as configs state them."""
    sides = (size, size) if isinstance(size, int) else size
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        return None
    return sides[0], sides[1]


def _networks(contents: Contents, state_dict: StateDict) -> dict[str, Weights]:
    """Return the networks; mmengine's EMA hook swaps: `state_dict` holds the average, `ema_state_dict` the trained."""
    raw = contents.state_dicts.get("ema_state_dict")
    wrapped = (f"module.{BACKBONE}", BACKBONE)
    prefix = next((p for p in wrapped if raw is not None and any(n.startswith(p) for n in raw.tensors)), None)
    networks = {"model" if prefix is None else "ema": _weights(state_dict, BACKBONE)}
    if raw is not None and prefix is not None:
        networks["raw"] = _weights(raw, prefix)
    for label, prefix in OTHERS.items():
        if any(name.startswith(prefix) for name in state_dict.tensors):
            networks[label] = _weights(state_dict, prefix)
    return networks


def _weights(state_dict: StateDict, prefix: str) -> Weights:
    others = Drop(
        rf"(?!{prefix.replace('.', '[.]')}).*", "another part of the model: neck, head, loss or second network"
    )
    return Weights(state_dict, prefix, (others,))


def _library(contents: Contents, state_dict: StateDict, config: Mapping[str, Any]) -> str:
    """Return the library of the network: detectors, segmenters and pose models shift Swin's windows in another way.

    Only their Swins are told the size of the images in pre-training.
    """
    if "pretrain_img_size" in config:
        return "mmdet"
    heads = ("rpn_head.", "roi_head.", "bbox_head.", "decode_head.", "keypoint_head.", "mask_head.")
    if any(name.startswith(heads) for name in state_dict.tensors):
        return "mmdet"
    return "mmdet" if any(f"{name}_version" in contents.meta for name in DETECTORS) else "mmpretrain"


def _options(found: _Found, config: Mapping[str, Any], library: str) -> dict[str, Any]:
    """Return options that shapes do not tell, from the config where it has them, from names, or from the library."""
    kind, options = found.key_mapping.kind, _declared(config)
    if kind == "swin":
        options["padding"] = library
    elif kind in ("vit", "beit"):
        options["position_interpolation"] = "bicubic"
        if not any(name.startswith(("ln1.", "norm1.")) for name in names_under(found.state_dict, found.prefix)):
            options["final_norm"] = False
    return options


def _declared(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return options that the backbone's own dict in a config states."""
    norm, activation = (config.get(key) for key in ("norm_cfg", "act_cfg"))
    options: dict[str, Any] = {"stride_in": "1x1"} if config.get("style") == "caffe" else {}
    if isinstance(norm, Mapping) and isinstance(norm.get("eps"), float):
        options["eps"] = norm["eps"]
    if isinstance(activation, Mapping) and activation.get("approximate") == "tanh":
        options["gelu"] = "tanh"
    return options


FAMILY = Family(
    name="openmmlab",
    aliases=("mmpretrain", "mmselfsup", "mmcls", "mmdet", "mmseg", "mmpose"),
    description="OpenMMLab's ResNet (V1c, V1d, ResNeXt), ViT, BEiT, Swin and ConvNeXt, alone or inside a detector",
    layouts=(
        "training file of mmengine: meta, state_dict with backbone.*, message_hub, ema_state_dict",
        "training file of mmcv: meta with mmcv_version and config, state_dict with backbone.*",
        "a published model: state_dict with backbone.*, with or without meta",
        "a backbone extracted from one: state_dict without backbone.*, with a config in meta if it is a ResNet",
    ),
    recognise=_recognise,
    plan=_plan,
)
