"""BYOL (Grill et al., NeurIPS 2020; github.com/google-deepmind/deepmind-research): haiku's ResNets in a pickle."""

from __future__ import annotations

import re
from collections import Counter

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Drop, Permute, Rename, Reshape, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

STATES = {"online": "online_{}", "target": "target_{}", "backbone": "backbone_{}"}
"""Network → pattern of the names of its parameters and its state; `backbone` in files of the evaluation."""

BACKBONE = r"([^/]+)/~/(initial_conv|initial_batchnorm|block_group_\d+)/"
"""Names of the backbone: a module such as `res_net50` and its parts."""

OPTIONS = {"padding": "same", "pool_padding": "same"}
HEADS = Drop(r"(projector|predictor|classifier)(/.*)?", "head next to the backbone")

RULES: tuple[Rule, ...] = (
    Drop(r".*/(mean|var)_ema/hidden", "running average before the correction of its start; `average` is used"),
    Drop(r".*/(mean|var)_ema/counter", "counter of a running average"),
    Rename(r"initial_conv/w", "conv1.weight"),
    Rename(r"initial_batchnorm/(.*)", r"bn1/\1"),
    *(Rename(rf"block_group_{g}/~/block_(\d+)/~/(.*)", rf"layer{g + 1}.\1.\2") for g in range(4)),
    *(Rename(rf"(layer.*)\.conv_{k}/w", rf"\1.conv{k + 1}.weight") for k in range(3)),
    *(Rename(rf"(layer.*)\.batchnorm_{k}/(.*)", rf"\1.bn{k + 1}/\2") for k in range(3)),
    Rename(r"(layer.*)\.shortcut_conv/w", r"\1.downsample.0.weight"),
    Rename(r"(layer.*)\.shortcut_batchnorm/(.*)", r"\1.downsample.1/\2"),
    Rename(r"(.*)/scale", r"\1.weight"),
    Rename(r"(.*)/offset", r"\1.bias"),
    Rename(r"(.*)/~/mean_ema/average", r"\1.running_mean"),
    Rename(r"(.*)/~/var_ema/average", r"\1.running_var"),
    Permute(r"(.*\.)?conv\d\.weight|.*\.downsample\.0\.weight", (3, 2, 0, 1)),
    Reshape(r"(.*\.)?bn\d\..*|.*\.downsample\.1\..*", (-1,)),
)
KEY_MAPPING = KeyMapping("resnet", RULES, (AllowedMissing(r".*num_batches_tracked", "haiku counts no batches: 0"),))


def _recognise(contents: Contents) -> Claim | None:
    networks = _networks(contents)
    return Claim(f"haiku's block_group_*/~/block_* in {' and '.join(networks)}", decisive=True) if networks else None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    networks = _networks(contents)
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), OPTIONS)
    return plan_weights(contents, networks, which, defaults, KEY_MAPPING) if networks else None


def _networks(contents: Contents) -> dict[str, Weights]:
    found = {label: _weights(contents, pattern) for label, pattern in STATES.items()}
    return {label: weights for label, weights in found.items() if weights is not None}


def _weights(contents: Contents, pattern: str) -> Weights | None:
    """Join parameters and running statistics of one network, which haiku keeps apart."""
    ends = (pattern.format("params"), pattern.format("state"))
    parts = tuple(path for path in contents.state_dicts if path.rpartition(".")[2] in ends)
    tensors = {name: tensor for path in parts for name, tensor in contents.state_dicts[path].tensors.items()}
    modules = Counter(match[1] for name in tensors if (match := re.match(BACKBONE, name)))
    if not modules:
        return None
    prefix = f"{modules.most_common(1)[0][0]}/~/"
    return Weights(StateDict(" and ".join(parts), tensors, parts=parts), prefix, (HEADS,))


FAMILY = Family(
    name="byol",
    aliases=(),
    description="BYOL: ResNets trained by DeepMind's own code in haiku",
    layouts=(
        "pre-training file: experiment_state with online_params, online_state, target_params, target_state; step, rng",
        "evaluation file: experiment_state with backbone_params, backbone_state",
    ),
    recognise=_recognise,
    plan=_plan,
)
