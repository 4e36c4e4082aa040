from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[2] / "tools" / "compare_protocols.py"
OLD = {"mini/pose/vit": {"config": {"rate": 0.1, "size": {"tuple": [1, 2]}, "gone": {"a": 1}}, "scores": ["AP"]}}


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("compare_protocols", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changed(**config: Any) -> dict[str, Any]:
    return {"mini/pose/vit": {**OLD["mini/pose/vit"], "config": {**OLD["mini/pose/vit"]["config"], **config}}}


def test_equal_dumps_differ_in_nothing(tool: Any) -> None:
    assert list(tool.differences(OLD, json.loads(json.dumps(OLD)), {})) == []
    assert list(tool.differences(changed(rate=2.0), changed(rate=2), {})) == []


@pytest.mark.parametrize("change", [{"rate": 0.2}, {"size": [1, 2]}, {"new": 1}, {"gone": {}}])
def test_what_differs_is_listed(tool: Any, change: dict[str, Any]) -> None:
    (line, *_) = tool.differences(OLD, changed(**change), {})
    assert line.startswith(f"mini/pose/vit.config.{next(iter(change))}")
    assert list(tool.differences(OLD, {}, {}))


def test_renamed_dropped_and_added_keys_are_none(tool: Any) -> None:
    new = {"mini/pose/vit": {"config": {"lr": 0.1, "size": {"tuple": [1, 2]}, "type": "pose"}, "scores": ["AP"]}}
    renames = {"config.rate": "config.lr", "config.gone": ""}
    assert list(tool.differences(OLD, new, renames, ["config.type"])) == []
    assert len(list(tool.differences(OLD, new, renames))) == 1
