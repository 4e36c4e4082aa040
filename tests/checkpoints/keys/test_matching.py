from __future__ import annotations

import pytest
import torch

from transfer.checkpoints.certificate.health import examine
from transfer.checkpoints.keys.matching import AllowedMissing, match
from transfer.checkpoints.keys.rules import Drop, RemovePrefix, Rename, apply_rules
from transfer.errors import WeightMismatch

TARGET = {
    "layer4.2.bn3.weight": torch.empty(2048, device="meta"),
    "layer4.2.bn3.running_mean": torch.empty(2048, device="meta"),
}


def test_the_message_is_the_one_of_the_architecture() -> None:
    file = {"layer4.2.bn3.weight": torch.ones(2048), "layer4.2.bn3.mean": torch.ones(2048)}
    with pytest.raises(WeightMismatch) as caught:
        match(TARGET, apply_rules(file, ()), (), title="moco-v2-r50 → resnet50", family="moco")
    assert str(caught.value) == (
        "moco-v2-r50 → resnet50: 1 of 2 tensors unfilled, 1 unused\n"
        "  - layer4.2.bn3.running_mean   (2048,)\n"
        "  + layer4.2.bn3.mean           (2048,)   closest\n"
        "If this network has another layout, write the renaming down and pass it: --rules my_rules.toml "
        "(docs/rules.md)."
    )


def test_both_shapes_are_named() -> None:
    target = {"conv1.weight": torch.empty(64, 3, 7, 7, device="meta")}
    with pytest.raises(WeightMismatch, match=r"(?s)1 of another shape.*\(64, 3, 7, 7\).*\(64, 147\)"):
        match(target, apply_rules({"conv1.weight": torch.ones(64, 147)}, ()), (), title="t", family="f")


def test_long_lists_are_cut_but_keep_what_the_file_has() -> None:
    target = {f"a{i}": torch.empty(1, device="meta") for i in range(200)}
    with pytest.raises(WeightMismatch, match=r"(?s)200 of 200.*\+ strange.*and 160 more"):
        match(target, apply_rules({"strange": torch.ones(1)}, ()), (), title="t", family="f")


def test_allowed_missing_tensors_are_initialised_with_their_reason() -> None:
    file = {"layer4.2.bn3.weight": torch.ones(2048)}
    matched = match(TARGET, apply_rules(file, ()), (AllowedMissing(r".*\.running_mean", "why"),), title="t", family="f")
    assert matched.initialised == {"layer4.2.bn3.running_mean": "why"}
    assert matched.coverage == 0.5 and list(matched.sources) == ["layer4.2.bn3.weight"]


def test_values_come_in_the_networks_precision() -> None:
    source = torch.ones(2, 2, dtype=torch.float64).T
    matched = match({"a": torch.empty(2, 2, device="meta")}, apply_rules({"a": source}, ()), (), title="t", family="f")
    loaded = matched.load("a")
    assert loaded.dtype == torch.float32 and loaded.is_contiguous() and loaded.sum() == 4
    assert matched.warnings == ("float64 weights were cast to float32",)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(value: float) -> None:
    with pytest.raises(WeightMismatch, match=r"NaN or infinite values\n  \+ raw"):
        renamed = apply_rules({"raw": torch.tensor([value])}, (Rename("raw", "a"),))
        examine(match({"a": torch.empty(1, device="meta")}, renamed, (), title="t", family="f"), "t")


def test_rules_in_order() -> None:
    rules = (Drop(r"queue", "negatives"), RemovePrefix("q."), Drop(r"fc\..*", "head"), Rename(r"(a)\.(b)", r"\2.\1"))
    tensors = dict.fromkeys(("queue", "q.fc.x", "q.a.b", "q.c", "other"), torch.ones(1))
    renamed = apply_rules(tensors, rules)
    assert renamed.dropped == {"queue": "negatives", "q.fc.x": "head"}
    assert {name: source.name for name, source in renamed.sources.items()} == {"b.a": "q.a.b", "c": "q.c"}
    assert list(renamed.unexpected) == ["other"]


def test_a_name_outside_the_prefix_cannot_fill() -> None:
    renamed = apply_rules({"a": torch.ones(1)}, (RemovePrefix("q."),))
    with pytest.raises(WeightMismatch, match=r"- a .*\n  \+ a"):
        match({"a": torch.empty(1, device="meta")}, renamed, (), title="t", family="f")


def test_missing_tensors_are_named_as_the_file_would() -> None:
    rules = (
        Rename(r"encoder\.layer_(\d+)\.(?:0|linear)\.(.*)", r"blocks.\1.fc.\2"),
        Rename(r"(blocks.*)\.w", r"\1.weight"),
    )
    target = {"blocks.3.fc.weight": torch.empty(2, device="meta")}
    with pytest.raises(WeightMismatch, match=r"- blocks\.3\.fc\.weight .*\(named encoder\.layer_3\.0\.w\)"):
        match(target, apply_rules({}, rules), (), title="t", family="f")


def test_the_prefix_of_a_state_dict_is_not_repeated() -> None:
    target = {"conv1.weight": torch.empty(2, device="meta")}
    with pytest.raises(WeightMismatch, match=r"- conv1\.weight   \(2,\)\n  \+ conv1\.w        \(2,\)   closest\n"):
        match(target, apply_rules({"q.conv1.w": torch.ones(2)}, (RemovePrefix("q."),)), (), title="t", family="f")
