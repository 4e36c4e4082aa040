"""MixMatch, ReMixMatch and FixMatch (github.com/google-research/{mixmatch,remixmatch,fixmatch}): wide ResNet-28."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import CLASSIFIER, names_under
from transfer.checkpoints.keys.rules import Drop, Rule
from transfer.checkpoints.keys.variables import (
    CONVOLUTION,
    COUNTERS,
    NORM,
    TRAINING,
    averaged,
    count_created,
    created,
    instead_of_average,
    kernels,
    layer_variables,
    named_as_averaged,
    without_average,
)
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.errors import UnsupportedNetwork
from transfer.schemas.checkpoint import InputContract

PREFIX = "classify/"
REST = (
    *TRAINING,
    Drop(r"classify_rot/.*", "head that tells rotations"),
    Drop(r"p_model|p_target|p_data|p_unlabeled", "moving average of class frequencies"),
    Drop(r"classify/dense(_\d+)?/.*", CLASSIFIER),
)
UNITS, BLOCKS = 4, 3
"""WRN-28 (libml/models.py): --repeat=4, three scales for images of 32 pixels."""

OPTIONS = {"bias": "all", "eps": 1e-3, "padding": "same", "transition": "residual", "units": UNITS}
CONTRACT = InputContract((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Values in [-1, 1] (libml/data.py), unless trained with --whiten."""


def _recognise(contents: Contents) -> Claim | None:
    state_dict = _state_dict(contents)
    return Claim(f"{PREFIX}conv2d_N and {PREFIX}batch_normalization_N in {state_dict.where}") if state_dict else None


def _state_dict(contents: Contents) -> StateDict | None:
    state_dicts = contents.state_dicts.values()
    return next(
        (state_dict for state_dict in state_dicts if count_created("conv2d", names_under(state_dict, PREFIX))), None
    )


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = _state_dict(contents)
    if state_dict is None:
        return None
    _refuse_other_networks(names_under(state_dict, PREFIX), contents)
    having = averaged(state_dict.tensors)
    networks = {"model": Weights(state_dict, PREFIX, (*REST, without_average()) if having else REST)}
    if having:
        networks = {"ema": Weights(state_dict, PREFIX, (*REST, instead_of_average(having))), **networks}
    return plan_weights(contents, networks, which, FamilyDefaults(CONTRACT, OPTIONS), _key_mapping(having))


def _refuse_other_networks(names: Iterable[str], contents: Contents) -> None:
    """Refuse the project's other two networks, and the deeper one that it has for larger images."""
    convolutions, _ = _places()
    found = count_created("conv2d", names)
    other = next((name for name in names if name.startswith("layer1.")), None)
    if other or found == 9 or found > len(convolutions):
        network = "shake-shake network" if other else "13-layer CNN" if found == 9 else "wide ResNet of four scales"
        raise UnsupportedNetwork(
            f"{contents.raw.path.name} holds this project's {network} ({other or f'{found} convolutions'}), which has "
            f"no canonical form here; expected a wide ResNet-28 with {len(convolutions)} convolutions."
        )


def _key_mapping(having: Sequence[str]) -> KeyMapping:
    convolutions, norms = _places()
    rules: tuple[Rule, ...] = (
        *named_as_averaged(having),
        kernels(r".*/kernel"),
        *layer_variables("conv2d", CONVOLUTION),
        *layer_variables("batch_normalization", NORM),
        *created("conv2d", convolutions),
        *created("batch_normalization", norms),
    )
    return KeyMapping("wide_resnet", rules, COUNTERS)


def _places() -> tuple[list[str], list[str]]:
    """Return canonical names of convolutions and norms in the order of creation: shortcuts come last in a unit."""
    convolutions, norms = ["conv1"], []
    for block, unit in ((block, unit) for block in range(1, BLOCKS + 1) for unit in range(UNITS)):
        place = f"block{block}.layer.{unit}"
        convolutions += [f"{place}.conv1", f"{place}.conv2", *([] if unit else [f"{place}.convShortcut"])]
        norms += [f"{place}.bn1", f"{place}.bn2"]
    return convolutions, [*norms, "bn1"]


FAMILY = Family(
    name="remixmatch",
    aliases=("fixmatch", "mixmatch"),
    description="MixMatch, ReMixMatch and FixMatch of google-research: wide ResNet-28 for images of 32 pixels",
    layouts=("TensorFlow checkpoint: classify/conv2d_N/kernel, .../ExponentialMovingAverage, classify/dense/kernel",),
    recognise=_recognise,
    plan=_plan,
)
