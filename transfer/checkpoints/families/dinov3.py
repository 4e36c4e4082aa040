"""DINOv3 (Siméoni et al., 2025; github.com/facebookresearch/dinov3): ViTs with rotary positions and storage tokens."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import ORIGINAL_CONVNEXT, layout_of
from transfer.checkpoints.keys.rules import Drop, Rename, Rule, Split
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.errors import WeightMismatch
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

WEB = InputContract(IMAGENET_MEAN, IMAGENET_STD)
SATELLITE = InputContract((0.430, 0.411, 0.296), (0.213, 0.156, 0.143))
PREFIX = "backbone."
HEADS = Drop(r"(dino|ibot|gram)_\w*\..*", "projection head of the self-distillation")
MASKED_KEYS = Drop(r"blocks\.\d+\.attn\.k_bias", "the keys' third of the bias, which bias_mask sets to zero")
RULES: tuple[Rule, ...] = (
    Drop(r"mask_token", "token that stands in for masked patches in pre-training"),
    Drop(r"local_cls_norm\..*", "norm of small crops in pre-training"),
    Drop(r".*\.qkv\.bias_mask", "mask of the bias: zero for keys, as checked"),
    Split(r"(blocks\.\d+\.attn)\.qkv\.bias", (r"\1.q_bias", r"\1.k_bias", r"\1.v_bias")),
    Rename(r"storage_tokens", "reg_token"),
    Rename(r"rope_embed\.(.*)", r"rope.\1"),
    Rename(r"(blocks\.\d+)\.ls([12])\.gamma", r"\1.gamma_\2"),
    Rename(r"(blocks\.\d+\.mlp)\.w1\.(.*)", r"\1.fc1_g.\2"),
    Rename(r"(blocks\.\d+\.mlp)\.w2\.(.*)", r"\1.fc1_x.\2"),
    Rename(r"(blocks\.\d+\.mlp)\.w3\.(.*)", r"\1.fc2.\2"),
)
UNSURE = (
    "nothing in the file says whether it saw web or satellite images: ImageNet's mean and standard deviation are "
    "assumed; satellite models have (0.430, 0.411, 0.296) and (0.213, 0.156, 0.143)."
)


def _recognise(contents: Contents) -> Claim | None:
    networks = _networks(contents)
    where = next(iter(networks.values())).state_dict.where if networks else ""
    return Claim(f"rotary periods, storage tokens or norms of stages in {where}", decisive=True) if networks else None


def _networks(contents: Contents) -> dict[str, Weights]:
    found: dict[str, Weights] = {}
    for label, state_dict in _labelled(contents).items():
        for prefix in (PREFIX, ""):
            weights = Weights(state_dict, prefix, (HEADS,) if prefix else ())
            if _is_dinov3(weights.names) or _is_convnext(weights.names):
                found.setdefault(label, weights)
    return found


def _labelled(contents: Contents) -> dict[str, StateDict]:
    first = [path for path in ("teacher", "model_ema", "student") if path in contents.state_dicts]
    others = [path for path in contents.state_dicts if path not in first]
    return {path or "backbone": contents.state_dicts[path] for path in (*first, *others)}


def _is_dinov3(names: list[str]) -> bool:
    own = any(re.match(r"storage_tokens$|rope_embed\.periods$|.*\.qkv\.bias_mask$", name) for name in names)
    return own and any(re.match(r"blocks\.\d+\.(norm1|attn|mlp)\.", name) for name in names)


def _is_convnext(names: list[str]) -> bool:
    """Return whether there is a norm for every stage, of which the last is the final one, as in DINOv3's ConvNeXt."""
    return any(name.startswith("norms.3.") for name in names) and layout_of(names) == ORIGINAL_CONVNEXT


def _plan(contents: Contents, which: str | None) -> Plan | None:
    networks = _networks(contents)
    if not networks:
        return None
    weights = next(iter(networks.values()))
    if _is_convnext(weights.names):
        satellite = "sat493m" in contents.raw.path.name
        return plan_weights(contents, networks, which, FamilyDefaults(SATELLITE if satellite else WEB))
    _refuse_lost_tokens(contents, weights)
    _refuse_other_masks(contents, weights)
    masked = any(name.endswith(".bias_mask") for name in weights.names)
    rules = (*RULES, MASKED_KEYS) if masked else RULES
    contract, warnings = _contract(contents, weights)
    return plan_weights(
        contents, networks, which, FamilyDefaults(contract, warnings=warnings), KeyMapping("dinov3", rules)
    )


def _contract(contents: Contents, weights: Weights) -> tuple[InputContract, tuple[str, ...]]:
    """Return the contract: satellite models say so by name, and of the large ones only they norm small crops."""
    if "sat493m" in contents.raw.path.name:
        return SATELLITE, ()
    if "local_cls_norm.weight" not in weights.names or "lvd1689m" in contents.raw.path.name:
        return WEB, ()
    width = weights.state_dict.tensors[f"{weights.prefix}local_cls_norm.weight"].shape[0]
    return (SATELLITE, ()) if width == 1024 else (WEB, (UNSURE,))


def _refuse_lost_tokens(contents: Contents, weights: Weights) -> None:
    """Raise WeightMismatch for lost storage tokens: one tensor, without which the rest is a network of its own."""
    if not weights.state_dict.path and "storage_tokens" not in weights.names:
        raise WeightMismatch(
            f"{contents.raw.path.name}: a DINOv3 backbone without storage tokens:\n  - storage_tokens   (1, 4, C)\n"
            "Part of the network is missing: use the file as it was released."
        )


def _refuse_other_masks(contents: Contents, weights: Weights) -> None:
    """Refuse a mask that leaves keys a bias, or takes it from others: it is another network's."""
    for name in weights.names:
        if not name.endswith(".qkv.bias_mask"):
            continue
        query, key, value = weights.state_dict.tensors[weights.prefix + name].float().chunk(3)
        if not (query.eq(1).all() and key.eq(0).all() and value.eq(1).all()):
            raise WeightMismatch(
                f"{contents.raw.path.name}: {name} should be one for queries and values and zero for keys; it holds "
                f"{query.mean():g}, {key.mean():g} and {value.mean():g} on average (queries, keys, values). The mask "
                "was not initialised or the file is damaged."
            )


FAMILY = Family(
    name="dinov3",
    aliases=(),
    description="DINOv3: ViT-S/S+/B/L/H+/7B with rotary positions and storage tokens, and ConvNeXt-T/S/B/L",
    layouts=(
        "the backbone's state dict at the root, with storage_tokens, rope_embed.periods, qkv.bias_mask",
        "teacher with backbone.*, dino_head.*, ibot_head.*",
        "ConvNeXt's state dict at the root, with norms.3.*",
    ),
    recognise=_recognise,
    plan=_plan,
)
