"""What each rule does to names and values, what does not fit, and rules read backwards."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from transfer.checkpoints.keys.matching import AllowedMissing, Matched, filled_share, match
from transfer.checkpoints.keys.reverse import name_in_file
from transfer.checkpoints.keys.rules import (
    Apply,
    Drop,
    Join,
    Permute,
    RemovePrefix,
    Rename,
    Renamed,
    Reshape,
    Rule,
    Split,
    apply_rules,
    apply_to_values,
)
from transfer.checkpoints.keys.values import Value
from transfer.errors import WeightMismatch

GRID = torch.arange(6.0).reshape(2, 3)
QKV = Join(r"(.*)\.(?P<part>q|k|v)\.(w|b)", ("q", "k", "v"), r"\1.qkv.\3")


def value(renamed: Renamed, name: str) -> torch.Tensor:
    return renamed.sources[name].value.load()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Permute("w", (1, 0)), GRID.T),
        (Reshape("w", (3, -1)), GRID.reshape(3, 2)),
        (Apply("w", lambda tensor: 2 * tensor, "doubling"), 2 * GRID),
    ],
)
def test_values_are_changed_when_they_are_asked_for(rule: Rule, expected: torch.Tensor) -> None:
    renamed = apply_rules({"w": GRID, "w2": GRID}, (rule,))
    assert torch.equal(value(renamed, "w"), expected) and torch.equal(value(renamed, "w2"), GRID)
    assert renamed.shapes == {"w": tuple(expected.shape), "w2": (2, 3)}
    assert (renamed.sources["w"].name, renamed.sources["w"].value.fault) == ("w", None)


@pytest.mark.parametrize("dim", [0, 1])
def test_what_is_split_can_be_joined(dim: int) -> None:
    whole = torch.arange(36.0).reshape(6, 6)
    apart = apply_rules({"a.qkv.w": whole}, (Split(r"(.*)\.qkv\.w", (r"\1.q.w", r"\1.k.w", r"\1.v.w"), dim),))
    assert list(apart.sources) == ["a.q.w", "a.k.w", "a.v.w"]
    assert all(torch.equal(value(apart, f"a.{n}.w"), part) for n, part in zip("qkv", whole.chunk(3, dim), strict=True))
    assert {source.name for source in apart.sources.values()} == {"a.qkv.w"}
    parts = {name: value(apart, name) for name in reversed(apart.sources)}
    together = apply_rules(parts, (Join(QKV.pattern, QKV.parts, QKV.replacement, dim),))
    assert torch.equal(value(together, "a.qkv.w"), whole)
    assert together.sources["a.qkv.w"].name == "a.q.w + a.k.w + a.v.w"


def test_tensors_are_split_and_joined_along_the_first_dimension_unless_told() -> None:
    whole = torch.arange(12.0).reshape(6, 2)
    apart = apply_rules({"a.qkv.w": whole}, (Split(r"a\.qkv\.w", ("a.q.w", "a.k.w", "a.v.w")),))
    assert torch.equal(value(apart, "a.k.w"), whole[2:4])
    together = apply_rules({name: value(apart, name) for name in apart.sources}, (QKV,))
    assert torch.equal(value(together, "a.qkv.w"), whole)


def test_a_whole_without_a_part_is_not_made_and_others_are() -> None:
    names = ("a.q.w", "a.k.w", "b.v.w", "b.q.w", "b.k.w", "c.x.w", "other")
    renamed = apply_rules(dict.fromkeys(names, GRID), (QKV,))
    assert list(renamed.sources) == ["a.q.w", "a.k.w", "b.qkv.w", "c.x.w", "other"]


def test_parts_that_the_rule_does_not_list_stay() -> None:
    rule = Join(r"(.*)\.(?P<part>\w)\.w", ("q", "k"), r"\1.qk.w")
    renamed = apply_rules(dict.fromkeys(("a.q.w", "a.k.w", "a.z.w"), GRID), (rule,))
    assert list(renamed.sources) == ["a.qk.w", "a.z.w"]


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (Permute("w", (0, 1, 2)), "the order of dimensions (0, 1, 2) does not fit (2, 3): "),
        (Reshape("w", (4,)), "the shape (4,) does not fit (2, 3): "),
        (Apply("w", lambda tensor: tensor[:, 7], "a column"), "a column does not fit (2, 3): "),
        (Split("w", ("a", "b"), 1), "chunk 1 does not fit (2, 3): 3 does not divide by 2"),
    ],
)
def test_a_rule_that_does_not_fit_is_a_fault_of_its_value(rule: Rule, fault: str) -> None:
    renamed = apply_rules({"w": GRID}, (rule,))
    source = next(iter(renamed.sources.values()))
    assert str(source.value.fault).startswith(fault) and "\n" not in str(source.value.fault)
    assert source.value.shape == (2, 3) and source.value.dtype == torch.float32


def test_the_first_fault_stays() -> None:
    renamed = apply_rules({"w": GRID}, (Reshape("w", (4,)), Permute("w", (1, 0))))
    assert str(renamed.sources["w"].value.fault).startswith("the shape (4,)")


def test_parts_of_other_shapes_do_not_join() -> None:
    tensors = {"a.q.w": torch.ones(2, 3), "a.k.w": torch.ones(2, 4), "a.v.w": torch.ones(2, 3)}
    fault = apply_rules(tensors, (QKV,)).sources["a.qkv.w"].value.fault
    assert str(fault).startswith("joining does not fit (2, 3), (2, 4), (2, 3): ")


def test_two_names_that_become_one_are_both_named() -> None:
    with pytest.raises(WeightMismatch) as caught:
        apply_rules({"a.w": GRID, "b.w": GRID}, (Rename(r"[ab]\.w", "w"),))
    assert str(caught.value).startswith("two tensors of the file claim one place, w:\n  + a.w\n  + b.w\n")


def test_patterns_match_whole_names() -> None:
    rules = (Drop("ab", "gone"), Rename("cd", "x"), Reshape("ef", (6,)))
    renamed = apply_rules(dict.fromkeys(("abc", "zab", "cde", "efg"), GRID), rules)
    assert list(renamed.sources) == ["abc", "zab", "cde", "efg"] and renamed.dropped == {}
    assert set(renamed.shapes.values()) == {(2, 3)} and renamed.rules == rules


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64])
@pytest.mark.parametrize("rule", [Permute("w", (1, 0)), Reshape("w", (6,)), Split("w", ("w", "v"))])
def test_rules_keep_the_precision(rule: Rule, dtype: torch.dtype) -> None:
    source = apply_rules({"w": GRID.to(dtype)}, (rule,)).sources["w"]
    assert source.value.dtype == source.value.load().dtype == dtype


def test_what_was_left_out_is_told_by_its_name_in_the_file() -> None:
    renamed = apply_rules({"m.a": GRID, "m.b": GRID, "n": GRID}, (RemovePrefix("m."), Drop("a", "why")))
    assert renamed.dropped == {"m.a": "why"} and list(renamed.sources) == ["b"] and list(renamed.unexpected) == ["n"]


BACKWARD: Sequence[tuple[str, tuple[Rule, ...], str]] = [
    ("conv", (), "conv"),
    ("conv", (RemovePrefix("q."), RemovePrefix("net.")), "q.net.conv"),
    ("blocks.3.w", (Rename(r"layer(\d+)\.(.*)", r"blocks.\1.\2"),), "layer3.w"),
    ("b.a", (Rename(r"(\w)\.(\w)", r"\2.\1"),), "a.b"),
    ("x.w", (Rename(r"(?:net|model)\.(.*)", r"x.\1"),), "net.w"),
    ("x", (Rename(r"(old|older)\.w", "x"),), "old.w"),
    ("a.qkv.w", (QKV,), "a.q.w + a.k.w + a.v.w"),
    ("a.qkv.w", (RemovePrefix("m."), QKV), "m.a.q.w + m.a.k.w + m.a.v.w"),
    ("elsewhere", (Rename(r"layer(\d+)\.(.*)", r"blocks.\1.\2"),), "elsewhere"),
    # what would not lead there is not claimed: another rule takes the name first, or drops it
    ("y", (Drop("x", "why"), Rename("x", "y")), "y"),
    ("y", (Rename("x", "z"), Rename("x", "y")), "y"),
    ("w", (Permute("w", (1, 0)), Reshape("w", (-1,))), "w"),
]


@pytest.mark.parametrize(("name", "rules", "expected"), BACKWARD)
def test_rules_are_read_backwards(name: str, rules: tuple[Rule, ...], expected: str) -> None:
    assert name_in_file(name, rules) == expected


@pytest.mark.parametrize(("name", "rules", "expected"), [case for case in BACKWARD if case[0] != case[2]])
def test_what_is_read_backwards_leads_there(name: str, rules: tuple[Rule, ...], expected: str) -> None:
    tensors = dict.fromkeys(expected.split(" + "), GRID)
    assert list(apply_rules(tensors, rules).sources) == [name]


def matched(
    target: dict[str, torch.Tensor], file: dict[str, torch.Tensor], *allowed: AllowedMissing, rules: Sequence[Rule] = ()
) -> Matched:
    return match(target, apply_rules(file, rules), allowed, title="file → net", family="moco")


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def refusal(*arguments: object, **options: object) -> str:
    with pytest.raises(WeightMismatch) as caught:
        matched(*arguments, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_each_sort_of_misfit_is_counted() -> None:
    text = refusal(
        {"a": meta(2), "b": meta(3), "c": meta(1)}, {"a": torch.ones(3), "z": torch.ones(1), "c": torch.ones(1)}
    )
    assert text.splitlines()[:5] == [
        "file → net: 1 of 3 tensors unfilled, 1 of another shape, 1 unused",
        "  - b   (3,)",
        "  - a   (2,)   expected",
        "  + a   (3,)   in the file",
        "  + z   (1,)",
    ]


def test_only_what_there_is_is_counted() -> None:
    assert refusal({"a": meta(1)}, {"a": torch.ones(2)}).startswith("file → net: 1 of another shape\n")
    assert refusal({}, {"a": torch.ones(2)}).startswith("file → net: 1 unused\n")
    assert refusal({"a": meta(1)}, {}).startswith("file → net: 1 of 1 tensors unfilled\n")


def test_a_rule_that_does_not_fit_is_said_beside_the_shape() -> None:
    text = refusal({"a": meta(4)}, {"x": torch.ones(2, 3)}, rules=(Rename("x", "a"), Reshape("a", (4,))))
    assert "  + a   (2, 3)   in the file   (named x)   the shape (4,) does not fit (2, 3): " in text


def test_a_fault_fills_nothing_even_where_the_shape_is_right() -> None:
    assert "1 of another shape" in refusal({"a": meta(2, 3)}, {"a": torch.ones(2, 3)}, rules=(Reshape("a", (4,)),))


def test_the_closest_names_come_first_and_say_so() -> None:
    target = {"layer1.conv1.weight": meta(1)}
    text = refusal(target, {"zzz": torch.ones(1), "layer1.conv.weight": torch.ones(1)})
    assert [line.split()[1] for line in text.splitlines()[2:4]] == ["layer1.conv.weight", "zzz"]
    assert text.splitlines()[2].endswith("closest") and not text.splitlines()[3].endswith("closest")


def test_forty_lines_are_shown_and_forty_of_the_file() -> None:
    target = {f"a{n:02}": meta(1) for n in range(41)}
    text = refusal(target, {f"z{n:02}": torch.ones(1) for n in range(41)})
    lines = text.splitlines()
    assert sum(line.startswith("  - ") for line in lines) == sum(line.startswith("  + ") for line in lines) == 40
    assert "  … and 2 more" in lines and "a39" in text and "a40" not in text and "z40" not in text
    few = refusal({f"a{n:02}": meta(1) for n in range(40)}, {})
    assert "more" not in few and few.count("\n  - ") == 40


def test_a_stale_excuse_is_named_with_its_reason_and_family() -> None:
    text = refusal({"a": meta(1)}, {"a": torch.ones(1)}, AllowedMissing("a|b", "why"))
    assert text.startswith("file → net: 'a|b' is allowed to be missing (why), but no such tensor")
    assert "families/moco.py" in text


def test_an_excuse_matches_whole_names_and_only_what_is_missing() -> None:
    target = {"a": meta(2), "b.a": meta(2), "c": meta(4)}
    assert "1 of 3 tensors unfilled" in refusal(target, {"c": torch.ones(4)}, AllowedMissing("a", "why"))
    found = matched(target, {"c": torch.ones(4), "a": torch.ones(2)}, AllowedMissing(r".*\.?a", "why"))
    assert (found.initialised, found.coverage) == ({"b.a": "why"}, 0.75)


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.bool])
def test_other_numbers_than_the_networks_are_refused(dtype: torch.dtype) -> None:
    text = refusal({"a": meta(2)}, {"q.a": torch.ones(2, dtype=dtype)}, rules=(RemovePrefix("q."),))
    assert text.startswith(f"file → net: q.a holds {dtype}, expected torch.float32: a quantised or converted file")


def test_counts_are_integers() -> None:
    target = {"n.num_batches_tracked": meta(dtype=torch.int64), "w": meta(3)}
    file = {"n.num_batches_tracked": torch.tensor(7, dtype=torch.int32), "w": torch.ones(3, dtype=torch.float16)}
    found = matched(target, file)
    assert (found.load("n.num_batches_tracked").dtype, found.load("w").dtype) == (torch.int64, torch.float32)
    assert found.warnings == ("float16 weights were cast to float32", "int32 weights were cast to int64")
    assert dict(found.elements) == {"w": 3} and list(found.sources) == list(target)
    assert "holds torch.float32, expected torch.int64" in refusal(
        target, {**file, "n.num_batches_tracked": torch.ones(())}
    )


def test_weights_in_the_networks_precision_are_not_said_to_be_cast() -> None:
    assert matched({"a": meta(1), "b": meta(1)}, {"a": torch.ones(1), "b": torch.ones(1)}).warnings == ()


def test_what_is_loaded_lies_in_one_piece() -> None:
    found = matched({"a": meta(3, 2)}, {"a": GRID}, rules=(Permute("a", (1, 0)),))
    assert found.load("a").is_contiguous() and torch.equal(found.load("a"), GRID.T)


@pytest.mark.parametrize(
    ("numbers", "filled", "expected"),
    [({"a": 3, "b": 1}, ["a"], 0.75), ({"a": 3}, ["a", "z"], 1), ({"a": 3}, [], 0), ({}, ["a"], 1), ({"a": 0}, [], 1)],
)
def test_shares_count_elements(numbers: dict[str, int], filled: list[str], expected: float) -> None:
    assert filled_share(numbers, filled) == expected


def test_a_user_is_sent_to_their_own_rules() -> None:
    renamed = apply_rules({"a": torch.ones(1)}, ())
    with pytest.raises(WeightMismatch, match=r"Remove it from mine\.toml, or"):
        match({"a": meta(1)}, renamed, (AllowedMissing("b", "why"),), title="t", family="rules:mine.toml")
    with pytest.raises(WeightMismatch, match=r"Add a rule to mine\.toml, or"):
        match({"b": meta(1)}, renamed, (), title="t", family="rules:mine.toml")


def test_rules_need_no_memory_for_what_they_change() -> None:
    def load() -> torch.Tensor:
        raise AssertionError("a value was read")

    value = Value((10**7, 10**7), torch.float32, load)
    renamed = apply_to_values({"w": value}, (Reshape("w", (10**6, 10**8)), Permute("w", (1, 0))))
    assert (renamed.shapes, renamed.sources["w"].value.fault) == ({"w": (10**8, 10**6)}, None)
