"""MAE (He et al., CVPR 2022; github.com/facebookresearch/mae): masked autoencoders' encoders, and fine-tuned ones."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import BEIT, VIT, has_head, layout_of
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

DECODER = Drop(r"(decoder_.*|mask_token)", "decoder of the masked patches")
OTHERS = r"(.*\.ls1\.gamma|.*\.gamma_1|masked_embed|storage_tokens|register_tokens|reg_token|dist_token)$"
"""Names in a ViT that belong to other methods."""

ENCODER = (
    "only `model`, a headless ViT, as MAE's released encoders have it: ImageNet mean and standard deviation are "
    "assumed; pass --family if it is another project's."
)


def _recognise(contents: Contents) -> Claim | None:
    found = _network(contents)
    return Claim(f"{found[1]} in {found[0].where}", decisive=True) if found else None


def _network(contents: Contents) -> tuple[StateDict, str] | None:
    """Return the network's state dict, and the evidence that it is MAE's."""
    decoding = (b for b in contents.state_dicts.values() if any(name.startswith("decoder_") for name in b.tensors))
    whole = next((state_dict for state_dict in decoding if _is_vit(state_dict)), None)
    if whole is not None:
        return whole, "decoder_* next to a ViT"
    state_dict = contents.state_dicts.get("model")
    if state_dict is None or not _is_vit(state_dict):
        return None
    alone = contents.keys == {"model"} and not contents.raw.config
    if alone and not has_head(state_dict, VIT):
        return state_dict, "a headless ViT and nothing else"
    pooled = "fc_norm.weight" in state_dict.tensors and "norm.weight" not in state_dict.tensors
    if pooled and (alone or "global_pool" in contents.args):
        return state_dict, "fc_norm in place of norm"
    return None


def _is_vit(state_dict: StateDict) -> bool:
    if layout_of(state_dict.tensors, (BEIT, VIT)) != VIT:
        return False
    return not any(re.match(OTHERS, name) for name in state_dict.tensors)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = _network(contents)
    if found is None:
        return None
    state_dict, evidence = found
    options = {"position_interpolation": "bicubic"}
    warnings = (ENCODER,) if "nothing else" in evidence else ()
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), options, _arch(contents), warnings=warnings)
    return plan_weights(contents, {"model": Weights(state_dict, rest=(DECODER,))}, which, defaults)


def _arch(contents: Contents) -> str | None:
    """Return `vit_base_patch16_224` for `mae_vit_base_patch16` or `vit_base_patch16` in the training options."""
    named = re.fullmatch(r"(?:mae_)?(vit_\w+_patch\d+)(_dec\w+)?", contents.arch or "")
    return f"{named[1]}_{contents.args.get('input_size', 224)}" if named else contents.arch


FAMILY = Family(
    name="mae",
    aliases=(),
    description="MAE: ViT-B/L/H encoders, pre-trained with or without decoder, or fine-tuned",
    layouts=(
        "training file: model with decoder_*; optimizer, epoch, scaler, args",
        "released encoder: model only, a ViT without head",
        "fine-tuning file: model with fc_norm in place of norm",
    ),
    recognise=_recognise,
    plan=_plan,
)
