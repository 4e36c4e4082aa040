"""Hugging Face's transformers (github.com/huggingface/transformers): its vision models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transfer.checkpoints.families.shared.huggingface.models import MODELS, Model
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.declared import triple
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import CLASSIFIER, generic_state_dicts, legacy_batchnorm
from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Drop, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.errors import WeightMismatch
from transfer.schemas.checkpoint import InputContract

REST: tuple[Rule, ...] = (
    Drop(r"(cls_|distillation_)?classifier\..*", CLASSIFIER),
    Drop(r"lm_head\..*|decoder\..*", "head that reconstructs masked patches"),
    Drop(r"text_model\..*|(text|visual)_projection\..*|logit_(scale|bias)", "CLIP's text model and projections"),
    Drop(r"hidden_states_norms\..*|fpn[1-4]\..*|decode_head\..*|auxiliary_head\..*", "head for dense prediction"),
)
NO_CONFIG = (
    "no config.json next to the weights: {model}'s usual {options} are assumed; put the config.json that came with "
    "them next to them."
)
NO_PREPROCESSOR = (
    "no preprocessor_config.json next to the weights: the mean and standard deviation that {model} is usually trained "
    "with are assumed."
)


def _recognise(contents: Contents) -> Claim | None:
    found = _found(contents)
    if found is None:
        return None
    state_dict, model, prefix = found
    return Claim(
        f"names of transformers' {model.name} under {prefix or 'no prefix'} in {state_dict.where}", decisive=True
    )


def _found(contents: Contents) -> tuple[StateDict, Model, str] | None:
    for state_dict in generic_state_dicts(contents):
        for model in MODELS:
            if (prefix := model.prefix(state_dict.tensors)) is not None:
                return state_dict, model, prefix
    return None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = _found(contents)
    if found is None:
        return None
    state_dict, model, prefix = found
    config = _vision_config(contents)
    _refuse_other_type(contents, model)
    weights = Weights(state_dict, prefix, _rest(model, prefix))
    key_mapping = KeyMapping(model.kind, model.rules, _allowed_missing(model, weights))
    contract, warnings = _contract(contents, model)
    options = {**model.usual, **_by_names(model, weights, config), **model.options(config)}
    if not config:
        warnings = (NO_CONFIG.format(model=model.name, options=_told(options)), *warnings)
    defaults = FamilyDefaults(contract, options, heads=_heads(options), image=_image(options), warnings=warnings)
    return plan_weights(contents, {"model": weights}, which, defaults, key_mapping)


def _heads(options: Mapping[str, Any]) -> int | None:
    heads = options.get("heads")
    return heads if isinstance(heads, int) else None


def _image(options: Mapping[str, Any]) -> tuple[int, int] | None:
    image = options.get("image")
    return (image[0], image[1]) if image else None


def _vision_config(contents: Contents) -> Mapping[str, Any]:
    """Return the config of the vision model, which CLIP's config holds as a part."""
    config = {key: value for key, value in contents.raw.config.items() if key != "preprocessor"}
    inner = config.get("vision_config")
    return inner if isinstance(inner, dict) else config


def _refuse_other_type(contents: Contents, model: Model) -> None:
    said = contents.raw.config.get("model_type")
    if said is not None and said not in model.types:
        raise WeightMismatch(
            f"config.json says model_type {said!r}, but the names in {contents.raw.path.name} are those of "
            f"{model.name} ({', '.join(model.types)}). Put the config.json that belongs to these weights next to them; "
            "another network with such names cannot be evaluated."
        )


def _rest(model: Model, prefix: str) -> tuple[Rule, ...]:
    """Return rules for what is outside of the prefix; BEiT's pre-training keeps the backbone's last norm there."""
    last = (Rename(r"layernorm\.(.*)", rf"{prefix}layernorm.\1"),) if model.kind == "beit" and prefix else ()
    return (*REST, *last)


def _allowed_missing(model: Model, weights: Weights) -> tuple[AllowedMissing, ...]:
    if model.kind == "resnet":
        return legacy_batchnorm(weights.names)
    return (AllowedMissing(r"rope\.periods", "follows from the rotary base"),) if model.kind == "dinov3" else ()


def _by_names(model: Model, weights: Weights, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return options that names decide and shapes under canonical names do not."""
    names = weights.state_dict.tensors
    if any(name.endswith("register_tokens") for name in names) and model.kind == "vit":
        return {"position_interpolation": "timm"}
    normed = any(re.search(r"(^|\.)layernorm\.weight$", name) for name in names if "pooler" not in name)
    if model.kind == "beit" and not normed and config.get("use_mean_pooling", not any("lm_head" in n for n in names)):
        return {"final_norm": False}
    return {}


def _told(options: Mapping[str, Any]) -> str:
    parts = (f"{key} {value}" for key, value in options.items())
    return ", ".join([*parts, "number of heads"])


def _contract(contents: Contents, model: Model) -> tuple[InputContract, tuple[str, ...]]:
    """Return the contract in preprocessor_config.json, else the model type's usual one with a warning."""
    says = contents.raw.config.get("preprocessor", {})
    if declared := _declared(says):
        return declared, ()
    said = str(contents.raw.config.get("model_type", next(iter(model.types))))
    return model.types[said], (NO_PREPROCESSOR.format(model=said),)


def _declared(says: Mapping[str, Any]) -> InputContract | None:
    """Read a contract: pixels times `rescale_factor`, minus `image_mean`, over `image_std`."""
    mean, std = triple(says.get("image_mean")), triple(says.get("image_std"))
    if says.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if mean is None or std is None:
        return None
    if says.get("do_rescale") is False:
        return InputContract(mean, std, range="0-255", source="file")
    scale = round(255 * float(says.get("rescale_factor", 1 / 255)), 6)
    return InputContract(_over(mean, scale), _over(std, scale), source="file")


def _over(values: tuple[float, float, float], scale: float) -> tuple[float, float, float]:
    first, second, third = (value / scale for value in values)
    return first, second, third


FAMILY = Family(
    name="huggingface",
    aliases=("hf", "transformers"),
    description="transformers' ViT, DeiT, MAE, MSN, I-JEPA, DINOv2, DINOv3, BEiT, data2vec, CLIP, SigLIP, Swin, "
    "ConvNeXt (V2) and ResNet",
    layouts=(
        "folder of save_pretrained: model.safetensors or pytorch_model.bin, config.json, preprocessor_config.json",
        "state dict without config, with the names of transformers 4 (encoder.layer.0.attention.attention.query) or 5 "
        "(layers.0.attention.q_proj)",
    ),
    recognise=_recognise,
    plan=_plan,
)
