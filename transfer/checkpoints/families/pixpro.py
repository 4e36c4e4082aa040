"""PixPro (Xie et al., CVPR 2021; github.com/zdaxie/PixPro): pixels of two views that propagate to each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.rules import Drop, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

ENCODERS = {"regular": "encoder.", "momentum": "encoder_k."}
"""The paper's names of the two encoders → their prefixes."""

HEADS = (
    Drop(r"projector(_instance)?(_k)?\..*", "projection head of the loss"),
    Drop(r"value_transform\..*", "transformation of the pixel propagation module"),
    Drop(r"predictor\..*", "prediction head of the loss on images"),
)
DEEP_STEM: tuple[Rule, ...] = (
    *(Rename(rf"conv1\.1\.{part}\.(.*)", rf"conv1.{part + 3}.\1") for part in (0, 1)),
    *(Rename(rf"conv1\.0\.{part}\.(.*)", rf"conv1.{part}.\1") for part in (0, 1)),
    Rename(r"conv1\.2\.(weight)", r"conv1.6.\1"),
)
"""The stem of its ResNet-D: convolution, norm and activation are grouped."""

EVIDENCE = (r"encoder(_k)?\.", r"(projector(_k)?\.linear1|value_transform)\.")
DILATED = "it was trained with a dilated layer4 ({arch}, stride 16): here its stride is 32 unless another is asked for."


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_is_pixpro)
    return Claim(f"encoder.* next to projector.linear1 in {state_dict.where}", decisive=True) if state_dict else None


def _is_pixpro(state_dict: StateDict) -> bool:
    return all(any(re.match(rf"(module\.)*{part}", name) for name in state_dict.tensors) for part in EVIDENCE)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = contents.first(_is_pixpro)
    if state_dict is None:
        return None
    present = [
        label for label, prefix in ENCODERS.items() if any(name.startswith(prefix) for name in state_dict.tensors)
    ]
    networks = {label: _weights(state_dict, label) for label in dict.fromkeys(("regular", *present))}
    arch = _arch(contents)
    warnings = (DILATED.format(arch=arch),) if arch and arch.endswith("_16s") else ()
    imagenet = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    return plan_weights(
        contents,
        networks,
        which,
        FamilyDefaults(imagenet, arch=arch, warnings=warnings),
        _key_mapping(networks["regular"]),
    )


def _weights(state_dict: StateDict, label: str) -> Weights:
    other = next(name for name in ENCODERS if name != label)
    unused = Drop(re.escape(ENCODERS[other]) + ".*", f"{other} encoder: the {label} encoder was chosen")
    return Weights(state_dict, ENCODERS[label], (*HEADS, unused))


def _key_mapping(weights: Weights) -> KeyMapping | None:
    key_mapping = weights.key_mapping()
    if key_mapping is None or not any(name.startswith("conv1.0.0.") for name in weights.names):
        return key_mapping
    return replace(key_mapping, rules=(*DEEP_STEM, *key_mapping.rules))


def _arch(contents: Contents) -> str | None:
    """Return the architecture in the training's options."""
    options = contents.raw.tree.get("opt")
    arch = options.get("arch") if isinstance(options, Mapping) else None
    return arch if isinstance(arch, str) else None


FAMILY = Family(
    name="pixpro",
    aliases=(),
    description="PixPro: ResNets trained on pixels, with a momentum encoder",
    layouts=(
        "training or released file: model with module.encoder.*, module.encoder_k.*, module.projector.*, "
        "module.value_transform.*; opt, epoch",
    ),
    recognise=_recognise,
    plan=_plan,
)
