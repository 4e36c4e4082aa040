"""The models of transformers that have a canonical form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer.checkpoints.families.shared.huggingface import config as read
from transfer.checkpoints.families.shared.huggingface import names
from transfer.checkpoints.keys.rules import Rule
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

IMAGENET = InputContract(IMAGENET_MEAN, IMAGENET_STD)
INCEPTION = InputContract((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OPENAI = InputContract((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@dataclass(frozen=True)
class Model:
    """A network under one generation of names.

    `types` are values of `model_type` in config.json, with the input that each is usually trained on; `prefixes` may
    begin all its names; a name that matches `body` behind one of them tells it. `options` reads a config,
    `usual` holds what leaves no trace and what a config may overrule.
    """

    name: str
    kind: str
    types: Mapping[str, InputContract]
    prefixes: tuple[str, ...]
    body: str
    rules: tuple[Rule, ...]
    options: Callable[[Mapping[str, Any]], dict[str, Any]]
    usual: Mapping[str, Any] = field(default_factory=dict)

    def prefix(self, tensors: Iterable[str]) -> str | None:
        """Return the prefix of most names of this model, None if there is no such name."""
        places = "|".join(re.escape(prefix) for prefix in self.prefixes)
        found = (re.match(f"({places})(?:{self.body})", name) for name in tensors)
        counted = Counter(match[1] for match in found if match).most_common(1)
        return counted[0][0] if counted else None


_OLD = r"encoder\.layer\.\d+\."
_NEW = r"layers\.\d+\."
_SWIN_BLOCK = r"encoder\.layers\.\d\.blocks\.\d+\."
_STAGE = r"encoder\.stages\.\d\.layers\.\d+\."


def _generations(
    name: str, old: tuple[str, tuple[Rule, ...]], new: tuple[str, tuple[Rule, ...]], **shared: Any
) -> tuple[Model, Model]:
    """Return one network under two generations of names: `body` and `rules` of each."""
    return (
        Model(f"{name} of transformers 5", body=new[0], rules=new[1], **shared),
        Model(name, body=old[0], rules=old[1], **shared),
    )


_BICUBIC = {"position_interpolation": "bicubic"}
_CLIP: dict[str, Any] = {
    "kind": "vit",
    "prefixes": ("", "vision_model.", "clip.vision_model."),
    "rules": names.CLIP,
    "options": read.vit_options,
}
_DINOV3: dict[str, Any] = {
    "kind": "dinov3",
    "types": {"dinov3_vit": IMAGENET},
    "prefixes": ("", "dinov3_vit."),
    "options": read.dinov3_options,
}

MODELS: tuple[Model, ...] = (
    *_generations(
        "BEiT",
        (_OLD + "(lambda_|.*relative_position_bias)", names.OLD_BEIT),
        (_NEW + "(lambda_|relative_position_bias)", names.NEW_BEIT),
        kind="beit",
        types={"beit": INCEPTION, "data2vec-vision": INCEPTION},
        prefixes=("", "beit.", "data2vec_vision."),
        options=read.beit_options,
        usual={"eps": 1e-12, "bias_interpolation": "huggingface"},
    ),
    *_generations(
        "DINOv2",
        (_OLD + r"(layer_scale[12]|mlp)\.", names.OLD_DINOV2),
        (_OLD + r"attention\.[qkv]_proj\.", names.NEW_DINOV2),
        kind="vit",
        types={"dinov2": IMAGENET, "dinov2_with_registers": IMAGENET},
        prefixes=("", "dinov2.", "dinov2_with_registers."),
        options=read.dinov2_options,
        usual=_BICUBIC,
    ),
    *_generations(
        "ViT",
        (_OLD + r"(attention\.attention|intermediate)\.", names.OLD_VIT),
        (_NEW + r"(attention\.[qkv]_proj|layernorm_before)\.", names.NEW_VIT),
        kind="vit",
        types={"vit": INCEPTION, **dict.fromkeys(("deit", "vit_mae", "vit_msn", "ijepa"), IMAGENET)},
        prefixes=("", "vit.", "deit.", "ijepa."),
        options=read.vit_options,
        usual={"eps": 1e-12, **_BICUBIC},
    ),
    *_generations(
        "Swin",
        (_SWIN_BLOCK + r"attention\.self\.", names.OLD_SWIN),
        (_SWIN_BLOCK + r"attention\.[qkv]_proj\.", names.NEW_SWIN),
        kind="swin",
        types={"swin": IMAGENET},
        prefixes=("", "swin."),
        options=read.swin_options,
        usual={"padding": "huggingface"},
    ),
    Model(
        name="CLIP",
        types={"clip": OPENAI, "clip_vision_model": OPENAI},
        body=r"pre_layrnorm\.|embeddings\.class_embedding",
        usual={"gelu": "quick", "eps": 1e-5, **_BICUBIC},
        **_CLIP,
    ),
    Model(
        name="SigLIP",
        types={"siglip": INCEPTION, "siglip_vision_model": INCEPTION},
        body=r"encoder\.layers\.\d+\.self_attn\.",
        usual={"gelu": "tanh", **_BICUBIC},
        **_CLIP,
    ),
    Model(
        name="DINOv3, gated",
        body=r"(model\.)?layer\.\d+\.mlp\.gate_proj\.",
        rules=names.GATED_DINOV3,
        **_DINOV3,
    ),
    Model(name="DINOv3", body=r"(model\.)?layer\.\d+\.attention\.", rules=names.DINOV3, **_DINOV3),
    Model(
        name="ConvNeXt",
        kind="convnext",
        types={"convnext": IMAGENET, "convnextv2": IMAGENET},
        prefixes=("", "convnext.", "convnextv2."),
        body=_STAGE + "(dwconv|pwconv1)",
        rules=names.CONVNEXT,
        options=read.convnext_options,
    ),
    Model(
        name="ResNet",
        kind="resnet",
        types={"resnet": IMAGENET},
        prefixes=("", "resnet."),
        body=_STAGE + r"layer\.\d\.",
        rules=names.RESNET,
        options=read.resnet_options,
    ),
)
