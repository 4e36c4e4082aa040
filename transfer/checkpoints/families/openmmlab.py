"""OpenMMLab: mmpretrain, mmselfsup, mmcls, mmdet, mmseg and mmpose, of mmengine's generation and of mmcv's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from transfer.checkpoints.families.shared.openmmlab.config import backbone_in, config_text, contract_in, dicts_in
from transfer.checkpoints.families.shared.openmmlab.names import openmmlab_naming
from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import names_under
from transfer.checkpoints.keys.rules import Apply, Drop, Rule
from transfer.checkpoints.keys.weights import Copy, Naming, Traits, plan_copy
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
    """A state dict with a trunk, the prefix of the trunk's names, and what they are names of."""

    branch: Branch
    prefix: str
    naming: Naming

    def has(self, name: str) -> bool:
        return f"{self.prefix}{name}" in self.branch.tensors

    @property
    def where(self) -> str:
        return f"{self.prefix or 'bare names'}{'*' if self.prefix else ''} in {self.branch.where}"


def _recognise(contents: Contents) -> Claim | None:
    found = _found(contents)
    if found is None or "openselfsup_version" in _meta(contents):
        return None
    said = next((key for key in SAID if key in _meta(contents)), None)
    if said is not None:
        return Claim(f"{said} in meta, {found.where}", decisive=True)
    if found.naming.kind != "resnet" or any(name.startswith(f"{found.prefix}stem.7.") for name in found.branch.tensors):
        return Claim(f"OpenMMLab's names of a {found.naming.kind}, {found.where}", decisive=True)
    return None


def _meta(contents: Contents) -> Mapping[str, Any]:
    meta = contents.raw.tree.get("meta")
    return meta if isinstance(meta, Mapping) else {}


def _found(contents: Contents) -> _Found | None:
    """The trunk under `backbone`, else one that was extracted: mmengine's average of weights stands in its place."""
    paths = [path for path in ("state_dict", "") if path in contents.branches]
    for prefix in (BACKBONE, ""):
        for branch in (contents.branches[path] for path in paths):
            if naming := openmmlab_naming(names_under(branch, prefix)):
                return _Found(branch, prefix, naming)
    return None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = _found(contents)
    if found is None:
        return None
    dicts = dicts_in(config_text(contents.raw.tree))
    contract, config = contract_in(dicts), backbone_in(dicts)
    tokenless = found.naming.kind == "vit" and config.get("with_cls_token") is False and found.has("cls_token")
    options = _options(found, config, _library(contents, found.branch, config))
    traits = Traits(
        contract or InputContract(IMAGENET_MEAN, IMAGENET_STD),
        options | ({"class_token": False} if tokenless else {}),
        heads=config.get("num_heads"),
        image=_sides(config.get("img_size")),
        warnings=() if contract else (UNSAID,),
    )
    copies = _copies(contents, found.branch) if found.prefix else {"model": Copy(found.branch)}
    naming = replace(found.naming, rules=(*(WITHOUT_TOKEN if tokenless else ()), *found.naming.rules))
    return plan_copy(contents, copies, which, traits, naming)


def _sides(size: Any) -> tuple[int, int] | None:
    """Height and width of the images that position embeddings belong to, as configs state them."""
    sides = (size, size) if isinstance(size, int) else size
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        return None
    return sides[0], sides[1]


def _copies(contents: Contents, branch: Branch) -> dict[str, Copy]:
    """mmengine's EMA hook swaps: `state_dict` holds the average, `ema_state_dict` the weights it follows."""
    raw = contents.branches.get("ema_state_dict")
    wrapped = (f"module.{BACKBONE}", BACKBONE)
    prefix = next((p for p in wrapped if raw is not None and any(n.startswith(p) for n in raw.tensors)), None)
    copies = {"model" if prefix is None else "ema": _copy(branch, BACKBONE)}
    if raw is not None and prefix is not None:
        copies["raw"] = _copy(raw, prefix)
    for label, prefix in OTHERS.items():
        if any(name.startswith(prefix) for name in branch.tensors):
            copies[label] = _copy(branch, prefix)
    return copies


def _copy(branch: Branch, prefix: str) -> Copy:
    beside = Drop(
        rf"(?!{prefix.replace('.', '[.]')}).*", "another part of the model: neck, head, loss or second network"
    )
    return Copy(branch, prefix, (beside,))


def _library(contents: Contents, branch: Branch, config: Mapping[str, Any]) -> str:
    """Whose networks the file's are: detectors, segmenters and pose models shift Swin's windows in another way.

    Only their Swins are told the size of the images in pre-training.
    """
    if "pretrain_img_size" in config:
        return "mmdet"
    heads = ("rpn_head.", "roi_head.", "bbox_head.", "decode_head.", "keypoint_head.", "mask_head.")
    if any(name.startswith(heads) for name in branch.tensors):
        return "mmdet"
    return "mmdet" if any(f"{name}_version" in _meta(contents) for name in DETECTORS) else "mmpretrain"


def _options(found: _Found, config: Mapping[str, Any], library: str) -> dict[str, Any]:
    """What shapes do not tell: from the config where it says so, from names, from the library's way."""
    kind, options = found.naming.kind, _declared(config)
    if kind == "swin":
        options["padding"] = library
    elif kind in ("vit", "beit"):
        options["position_interpolation"] = "bicubic"
        if not any(name.startswith(("ln1.", "norm1.")) for name in names_under(found.branch, found.prefix)):
            options["final_norm"] = False
    return options


def _declared(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options that the backbone's own dict in a config states."""
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
        "a trunk extracted from one: state_dict without backbone.*, with a config in meta where it is a plain ResNet",
    ),
    recognise=_recognise,
    plan=_plan,
)
