"""Semi-supervised wide ResNets in PyTorch: USB, TorchSSL, kekmodel's FixMatch.

github.com/microsoft/Semi-supervised-learning, github.com/TorchSSL/TorchSSL, github.com/kekmodel/FixMatch-pytorch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import CLASSIFIER
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

UNIT = re.compile(r"((?:backbone\.)?)block\d\.layer\.\d+\.(bn\d|conv\d|convShortcut)\.")
HEADS = ("classifier.weight", "fc.weight")
AVERAGES = {"ema_model": "model", "ema_state_dict": "state_dict"}
"""Key of the moving average → key of the trained network next to it."""

CIFAR10 = InputContract((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
CIFAR100 = InputContract((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))


@dataclass(frozen=True)
class Project:
    """A project's options that names do not tell, and its input contracts by the number of classes."""

    options: Mapping[str, Any]
    contracts: Mapping[int, InputContract]


TRANSITION = {"transition": "none"}
"""The first units of blocks 2 and 3 get the input as it is: activate_before_residual is off, widths are unequal."""

USB = Project(
    {"bias": "stem", "eps": 1e-5, "final_eps": 1e-3, **TRANSITION},
    {10: InputContract(IMAGENET_MEAN, IMAGENET_STD), 100: CIFAR100},
)
TORCHSSL = Project({"bias": "all", "eps": 1e-3, **TRANSITION}, {10: CIFAR10, 100: CIFAR100})
KEKMODEL = Project({"bias": "none", "eps": 1e-5, **TRANSITION}, {10: CIFAR10, 100: CIFAR100})

SHARED = (
    "a classifier of {classes} classes: mean and standard deviation are those of CIFAR-{data} in the project that "
    "writes such files; for other data sets (SVHN, STL-10, EuroSAT) they are others"
)


def _recognise(contents: Contents) -> Claim | None:
    paths = [path for path, state_dict in contents.state_dicts.items() if _prefix(state_dict) is not None]
    if not paths or contents.by_lightning:  # solo-learn has the same wide ResNets
        return None
    return Claim(f"block1.layer.0 names of a wide ResNet in {contents.state_dicts[paths[0]].where}", decisive=True)


def _prefix(state_dict: StateDict) -> str | None:
    """Return the prefix of a wide ResNet's names: methods with a second head wrap the network."""
    return next((match[1] for name in state_dict.tensors if (match := UNIT.match(name))), None)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    networks = _networks(contents)
    if not networks:
        return None
    first = next(iter(networks.values()))
    project = _project(contents, first)
    classes = next((first.state_dict.tensors[first.prefix + n].shape[0] for n in HEADS if n in first.names), 0)
    data = 100 if classes == 100 else 10
    warning = SHARED.format(classes=classes, data=data)
    defaults = FamilyDefaults(project.contracts[data], project.options, warnings=(warning,))
    return plan_weights(contents, networks, which, defaults, KeyMapping("wide_resnet", ()))


def _networks(contents: Contents) -> dict[str, Weights]:
    """Return the networks, with the moving average, which these methods evaluate, first."""
    state_dicts = {
        path: state_dict for path, state_dict in contents.state_dicts.items() if _prefix(state_dict) is not None
    }
    average = next((path for path in AVERAGES if path in state_dicts), None)
    if average is None:
        return {"model": _weights(next(iter(state_dicts.values())))} if state_dicts else {}
    pair = {"ema": average, "model": AVERAGES[average]}
    return {label: _weights(state_dicts[path]) for label, path in pair.items() if path in state_dicts}


def _weights(state_dict: StateDict) -> Weights:
    prefix = _prefix(state_dict) or ""
    head = Drop(rf"{re.escape(prefix)}(classifier|fc)\..*", CLASSIFIER)
    return Weights(state_dict, prefix, (head, Drop(r"(rot_classifier|mlp_proj|fc\d?)\..*", "head of the method")))


def _project(contents: Contents, weights: Weights) -> Project:
    """Tell the project by its files' keys; for a bare state dict by its biases."""
    if HEADS[0] in weights.names:
        return USB
    if HEADS[1] in weights.names and contents.keys & {"ema_model", "ema_state_dict", "state_dict"}:
        return TORCHSSL if "ema_model" in contents.keys else KEKMODEL
    if any(re.match(r"block\d\.layer\.\d+\.conv\w+\.bias", name) for name in weights.names):
        return TORCHSSL
    return USB if "conv1.bias" in weights.names else KEKMODEL


FAMILY = Family(
    name="usb",
    aliases=("torchssl", "kekmodel", "fixmatch-pytorch"),
    description="wide ResNets of USB, TorchSSL and kekmodel's FixMatch: semi-supervised, for images of 32 pixels",
    layouts=(
        "USB: model, ema_model, optimizer, loss_scaler, it, epoch; names block1.layer.0.convShortcut, classifier",
        "TorchSSL: model, ema_model, optimizer, scheduler, it; names module.block1.layer.0.convShortcut, fc",
        "kekmodel: state_dict, ema_state_dict, epoch, acc, best_acc, optimizer, scheduler",
    ),
    recognise=_recognise,
    plan=_plan,
)
