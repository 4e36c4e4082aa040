"""Requirements of every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transfer.backbones.building import backbone_shapes
from transfer.checkpoints.families import FAMILIES
from transfer.checkpoints.identification.identify import plan_for
from transfer.checkpoints.inference.spec import infer_spec
from transfer.checkpoints.keys.contents import contents_of
from transfer.checkpoints.keys.matching import AllowedMissing, match
from transfer.checkpoints.keys.rules import apply_rules
from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.errors import UnknownName, WeightMismatch

each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@each_family
def test_families_describe_themselves(family: Any) -> None:
    module = Path(family.plan.__code__.co_filename)
    assert module.name == f"{family.name}.py"
    assert family.description and all(family.layouts)


@each_family
def test_families_have_a_genuine_layout(family: Any, layouts: Any) -> None:
    assert [name for name in layouts if name.startswith(f"{family.name}:")]


@each_family
def test_stale_allowances_raise(family: Any, layouts: Any, tmp_path: Path) -> None:
    name = next(name for name in layouts if name.startswith(f"{family.name}:"))
    contents = contents_of(read_checkpoint(layouts[name]().write(tmp_path)))
    _, plan = plan_for(contents, family.name, None)
    renamed = apply_rules(plan.state_dict.tensors, plan.rules)
    spec = infer_spec(renamed.shapes, plan)
    allowed_missing = (*plan.allowed_missing, AllowedMissing(r"norm_pre\..*", "no longer needed"))
    with pytest.raises(WeightMismatch, match="is allowed to be missing"):
        match(backbone_shapes(spec), renamed, allowed_missing, title="file", family=family.name)


@each_family
def test_unknown_networks_raise(family: Any, layouts: Any, tmp_path: Path) -> None:
    name = next(name for name in layouts if name.startswith(f"{family.name}:"))
    contents = contents_of(read_checkpoint(layouts[name]().write(tmp_path)))
    with pytest.raises(UnknownName, match="Available"):
        plan_for(contents, family.name, "nobody")
