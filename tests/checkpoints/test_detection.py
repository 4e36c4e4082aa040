"""Damage that every family must notice, tried on every genuine layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from transfer.backbones.building import stage_of_tensors
from transfer.checkpoints.certificate.certify import unused_weights
from transfer.checkpoints.identification.filling import Choice, Filled, fill_from
from transfer.checkpoints.keys.contents import Contents, contents_of
from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.errors import CheckpointError, UnknownName

State = dict[str, Tensor]


def in_stage(filled: Filled, stage: str) -> list[str]:
    """Names in the file of a stage's tensors; of the first stage where a small network leaves this one empty."""
    stages = stage_of_tensors(filled.outline)
    stage = stage if stage in stages.values() else "stage 1"
    sources = {name: source.name.split(" + ") for name, source in filled.matched.sources.items()}
    return [name for canonical, names in sources.items() if stages[canonical] == stage for name in names]


def without_a_stage(state: State, filled: Filled) -> State:
    gone = set(in_stage(filled, "stage 1"))
    return {name: tensor for name, tensor in state.items() if name not in gone}


def without_a_tensor(state: State, filled: Filled) -> State:
    gone = in_stage(filled, "stage 3")[0]
    return {name: tensor for name, tensor in state.items() if name != gone}


def under_another_prefix(state: State, filled: Filled) -> State:
    return {f"unheard_of.{name}": tensor for name, tensor in state.items()}


def with_a_stage_elsewhere(state: State, filled: Filled) -> State:
    moved = set(in_stage(filled, "stage 3"))
    return {f"unheard_of.{name}" if name in moved else name: tensor for name, tensor in state.items()}


DAMAGES: tuple[Callable[[State, Filled], State], ...] = (
    without_a_stage,
    without_a_tensor,
    under_another_prefix,
    with_a_stage_elsewhere,
)


def damaged(contents: Contents, filled: Filled, damage: Callable[[State, Filled], State]) -> Contents:
    state_dict = filled.plan.state_dict
    state: Mapping[str, Tensor] = damage(dict(state_dict.tensors), filled)
    return replace(contents, state_dicts={**contents.state_dicts, state_dict.path: replace(state_dict, tensors=state)})


def test_damage_is_noticed(layout: Any, tmp_path: Path) -> None:
    choice = Choice(**(layout.options or {}))
    contents = contents_of(read_checkpoint(layout.write(tmp_path)))
    filled = fill_from(contents, choice)
    if filled.plan.state_dict.path not in contents.state_dicts:
        pytest.skip("the family puts its own state dict together: its own tests damage the tree")
    for damage in DAMAGES:
        assert is_noticed(damaged(contents, filled, damage), choice), f"{damage.__name__} went unnoticed"


def is_noticed(contents: Contents, choice: Choice) -> bool:
    """Refused, or, where other weights in the file are whole and were taken, the damaged ones named in a warning."""
    try:
        return bool(unused_weights(contents, fill_from(contents, choice).plan))
    except (CheckpointError, UnknownName):
        return True
