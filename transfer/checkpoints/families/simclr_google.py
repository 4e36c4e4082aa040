"""SimCLR v1 and v2 (Chen et al., 2020; github.com/google-research/simclr): TensorFlow 1 and 2."""

from __future__ import annotations

import re

from transfer.checkpoints.families.shared.simclr_names import (
    object_key_mapping,
    object_network,
    ordered_key_mapping,
    ordered_network,
)
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.variables import TRAINING
from transfer.checkpoints.keys.weights import Weights
from transfer.errors import UnsupportedNetwork
from transfer.schemas.checkpoint import InputContract

ORDERED = {"model": "base_model/", "ema": "ema_model/base_model/"}
"""TensorFlow 1: network → prefix. The project's own fine-tuning loads base_model, so it comes first."""

OBJECTS = ("model/resnet_model/", "resnet_model/")
"""TensorFlow 2: prefixes of a training checkpoint and of the model that was saved by itself."""

OWN = re.compile(
    r"(ema_model/)?base_model/(conv2d|batch_normalization)(_\d+)?/.*"
    r"|(model/)?resnet_model/(block_groups|initial_conv_relu_max_pool)/.*"
)
REST = (
    *TRAINING,
    Drop(r"(ema_model/)?(head_contrastive|head_supervised)/.*", "projection head or classifier"),
    Drop(r"(model/)?(_projection_head|supervised_head)/.*", "projection head or classifier"),
    Drop(r".*/\.OPTIMIZER_SLOT/.*|optimizer/.*", "optimizer state"),
    Drop(r"(global_step|save_counter)/.*", "counter of the training"),
)
OTHER = (
    r".*base_model/conv2d_\d+/bias",  # squeeze and excitation
    r".*/se_layer/.*|.*/se_(reduce|expand)/.*",
    r".*/conv2d_0/kernel/\..*|.*initial_conv_relu_max_pool/4/.*",  # selective kernels, and their stem
)
CONTRACT = InputContract((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Values in [0, 1] without mean and deviation (google-research/simclr#12)."""


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_own)
    return Claim(f"{_own(state_dict)} in {state_dict.where}", decisive=True) if state_dict else None


def _own(state_dict: StateDict) -> str | None:
    """Return a name that only this project gives."""
    return next((name for name in state_dict.tensors if OWN.fullmatch(name)), None)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = contents.first(_own)
    if state_dict is None:
        return None
    _refuse_other_layers(state_dict, contents)
    networks = _networks(state_dict)
    names = [name for weights in networks.values() for name in weights.names]
    if "objects" in networks:
        block, depths = object_network(names)
        key_mapping = object_key_mapping(block)
    else:
        block, depths = ordered_network(names)
        key_mapping = ordered_key_mapping(block, depths)
    options = {"block": block, "depths": list(depths), **_stem(state_dict)}
    return plan_weights(contents, networks, which, FamilyDefaults(CONTRACT, options), key_mapping)


def _networks(state_dict: StateDict) -> dict[str, Weights]:
    found = next((prefix for prefix in OBJECTS if names_under(state_dict, prefix)), None)
    if found:
        return {"objects": Weights(state_dict, found, REST)}
    present = [label for label, prefix in ORDERED.items() if names_under(state_dict, prefix)]
    others = {label: Drop(f"{ORDERED[label]}.*", f"the weights `{label}`: others were chosen") for label in present}
    return {
        label: Weights(state_dict, ORDERED[label], (*REST, *(others[other] for other in present if other != label)))
        for label in present
    }


def _stem(state_dict: StateDict) -> dict[str, str]:
    """Return options of the stem: images of 32 pixels and less get 3x3 kernels and no pooling."""
    kernel = r".*base_model/conv2d/kernel|.*resnet_model/initial_conv_relu_max_pool/0/conv2d/kernel/\.A.*"
    shapes = [tensor.shape for name, tensor in state_dict.tensors.items() if re.fullmatch(kernel, name)]
    return {"stem": "cifar"} if any(shape[:2] == (3, 3) for shape in shapes) else {"pool_padding": "same"}


def _refuse_other_layers(state_dict: StateDict, contents: Contents) -> None:
    """Refuse networks of --sk_ratio and --se_ratio."""
    other = next((name for name in state_dict.tensors if any(re.fullmatch(own, name) for own in OTHER)), None)
    second = (
        (name, tensor) for name, tensor in state_dict.tensors.items() if name.endswith("base_model/conv2d_1/kernel")
    )
    deep_stem = next((name for name, tensor in second if tensor.shape[:2] == (3, 3)), None)
    if other or deep_stem:
        raise UnsupportedNetwork(
            f"{contents.raw.path.name} holds a SimCLR network with selective kernels or squeeze-and-excitation: no "
            f"other has\n  + {other or deep_stem}\nIt has no canonical form here; use a checkpoint that was trained "
            "without them (sk0 in the project's tables)."
        )


FAMILY = Family(
    name="simclr_google",
    aliases=("simclr-tf", "simclrv2"),
    description="SimCLR v1 and v2 of google-research, without selective kernels: ResNet-18 to 200, any width",
    layouts=(
        "TensorFlow 1: base_model/conv2d_N/kernel, base_model/batch_normalization_N/gamma; ema_model/base_model/...",
        "TensorFlow 2, also SavedModel: model/resnet_model/block_groups/.../.ATTRIBUTES/VARIABLE_VALUE",
    ),
    recognise=_recognise,
    plan=_plan,
)
