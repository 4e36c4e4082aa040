"""OpenCLIP (Cherti et al., CVPR 2023; github.com/mlfoundations/open_clip): image towers in CLIP's or timm's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer.checkpoints.families.clip import (
    POOLS,
    PREFIX,
    STATISTICS,
    TEXT,
    heads_of,
    is_openclip,
    tower_key_mapping,
    visual_tower,
)
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.declared import contract_of
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import BEIT, LAYOUTS, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import KeyMapping, Weights, key_mapping_of
from transfer.schemas.checkpoint import InputContract

BACKBONE = "visual.trunk."
HEAD = Drop(r"visual\.(head\..*|trunk\.attn_pool\..*)", "pooling and projection into the space of texts")
SIGMOID = InputContract((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Contract of SigLIP, whose loss has a bias."""

UNSURE = (
    "which GELU the network has leaves no trace in its weights: the exact one is assumed, as OpenCLIP's own models "
    "have it; those named quickgelu (OpenAI's, MetaCLIP's, DFN's) and some SigLIP have others. Keep "
    "open_clip_config.json next to the file to have it decided."
)


def _recognise(contents: Contents) -> Claim | None:
    state_dict = visual_tower(contents)
    if state_dict is None or not is_openclip(contents, state_dict):
        return None
    return Claim(f"visual.* of OpenCLIP in {state_dict.where}", decisive=True)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = visual_tower(contents)
    if state_dict is None:
        return None
    names = names_under(state_dict, BACKBONE)
    if names:
        return _timm_plan(contents, state_dict, names, which)
    key_mapping, options = tower_key_mapping(state_dict)
    warnings: tuple[str, ...] = ()
    if key_mapping.kind == "vit":
        options["pre_norm"] = PREFIX + "ln_pre.weight" in state_dict.tensors
        options["gelu"], warnings = _gelu(contents)
    heads = _model(contents).get("vision_cfg", {}).get("head_width")
    weights = Weights(state_dict, PREFIX, (TEXT, POOLS))
    defaults = FamilyDefaults(
        _contract(contents, state_dict),
        options,
        heads=_heads(state_dict, heads) or heads_of(state_dict),
        warnings=warnings,
    )
    return plan_weights(contents, {"visual": weights}, which, defaults, key_mapping)


def _timm_plan(contents: Contents, state_dict: StateDict, names: list[str], which: str | None) -> Plan | None:
    layout = layout_of(names, (BEIT, *LAYOUTS))
    if layout is None:
        return None
    key_mapping: KeyMapping = key_mapping_of(names, layout)
    warnings = (UNSURE,) if key_mapping.kind == "vit" and not _model(contents) else ()
    defaults = FamilyDefaults(_contract(contents, state_dict), _timm_options(contents, key_mapping), warnings=warnings)
    return plan_weights(contents, {"visual": Weights(state_dict, BACKBONE, (TEXT, HEAD))}, which, defaults, key_mapping)


def _timm_options(contents: Contents, key_mapping: KeyMapping) -> Mapping[str, Any]:
    """Return the GELU of timm's own network of that name."""
    name = str(_model(contents).get("vision_cfg", {}).get("timm_model_name", ""))
    tanh = any(part in name for part in ("so400m_patch16", "siglip_512", "siglip2", "giantopt")) or (
        "siglip" in name and "patch32" in name
    )
    return {"gelu": "tanh"} if tanh and key_mapping.kind == "vit" else {}


def _model(contents: Contents) -> Mapping[str, Any]:
    config = contents.raw.config.get("open_clip", {})
    model = config.get("model_cfg", config) if isinstance(config, Mapping) else {}
    return model if isinstance(model, Mapping) else {}


def _gelu(contents: Contents) -> tuple[str, tuple[str, ...]]:
    """Return the GELU in a config, or in the name of the training or the file; else exact with a warning."""
    model = _model(contents)
    if model:
        return ("quick" if model.get("quick_gelu") else "exact"), ()
    named = f"{contents.raw.tree.get('name', '')} {contents.raw.path.name}".lower()
    return ("quick", ()) if "quickgelu" in named else ("exact", (UNSURE,))


def _heads(state_dict: StateDict, head_width: Any) -> int | None:
    width = state_dict.tensors.get(PREFIX + "class_embedding")
    return len(width) // head_width if isinstance(head_width, int) and width is not None else None


def _contract(contents: Contents, state_dict: StateDict) -> InputContract:
    config = contents.raw.config.get("open_clip", {})
    says = config.get("preprocess_cfg", {}) if isinstance(config, Mapping) else {}
    declared = contract_of(says) if isinstance(says, Mapping) else None
    return declared or (SIGMOID if "logit_bias" in state_dict.tensors else STATISTICS)


FAMILY = Family(
    name="openclip",
    aliases=("open-clip", "open_clip"),
    description="OpenCLIP: ViT-B/L/H/g/G and ResNets in CLIP's names, timm's networks under visual.trunk",
    layouts=(
        "training file: epoch, name, state_dict with module.visual.*, optimizer",
        "open_clip_model.safetensors or open_clip_pytorch_model.bin, with open_clip_config.json next to it",
    ),
    recognise=_recognise,
    plan=_plan,
)
