"""What is found in a tree, what is said about it, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.checkpoints.keys.contents import Contents, StateDict, contents_of, refuse_mixed_wrappers
from transfer.checkpoints.keys.family import choose
from transfer.checkpoints.reading.checkpoint import RawCheckpoint
from transfer.errors import UnknownName, UnreadableCheckpoint, WeightMismatch

ONE = torch.ones(1)


def contents(tree: Mapping[Any, Any], **config: Any) -> Contents:
    return contents_of(RawCheckpoint(Path("folder/file.pth"), "torch zip", tree, config))


def nested(depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"w": ONE}
    for level in range(depth, 0, -1):
        tree = {f"k{level}": tree}
    return tree


def test_state_dicts_by_path_breadth_first() -> None:
    found = contents({"a": {"b": {"w": ONE}, "x": 1}, "c": {"w": ONE, "n": 3}, "v": ONE, 7: {"w": ONE}})
    assert list(found.state_dicts) == ["", "c", "a.b"]
    assert [list(state_dict.tensors) for state_dict in found.state_dicts.values()] == [["v"], ["w"], ["w"]]
    assert [state_dict.path for state_dict in found.state_dicts.values()] == ["", "c", "a.b"]
    assert [state_dict.where for state_dict in found.state_dicts.values()] == ["the root", "`c`", "`a.b`"]
    assert found.keys == {"a", "c", "v"}


def test_five_levels_are_searched_and_no_more() -> None:
    assert list(contents(nested(5)).state_dicts) == ["k1.k2.k3.k4.k5"]
    with pytest.raises(UnreadableCheckpoint, match=r"file\.pth holds no tensors.*found k1 \(dict\)"):
        contents(nested(6))


def test_a_tree_that_holds_itself_ends() -> None:
    tree: dict[str, Any] = {"model": {"w": ONE}}
    tree["again"] = tree["model"]["back"] = tree
    assert list(contents(tree).state_dicts) == ["model"]


def test_one_state_dict_under_two_keys_is_found_once() -> None:
    state = {"w": ONE}
    assert list(contents({"first": state, "second": state}).state_dicts) == ["first"]


def test_wrappers_are_off_and_said() -> None:
    (state_dict,) = contents({"module.a.w": ONE, "module.b._orig_mod.w": ONE}).state_dicts.values()
    assert (list(state_dict.tensors), state_dict.wrapper, state_dict.inner) == (
        ["a.w", "b.w"], "module.", ("_orig_mod.",),
    )  # fmt: skip


def test_modules_of_haiku_are_one_state_dict() -> None:
    tree = {"net/~/conv": {"w": ONE, "b": ONE}, "net/~/norm": {"scale": ONE}}
    (state_dict,) = contents({"params": tree}).state_dicts.values()
    assert (state_dict.path, list(state_dict.tensors)) == (
        "params", ["net/~/conv/w", "net/~/conv/b", "net/~/norm/scale"],
    )  # fmt: skip


def test_other_state_dicts_are_found_behind_modules_of_haiku() -> None:
    assert list(contents({"params": {"net/~/conv": {"w": ONE}}, "other": {"w": ONE}}).state_dicts) == [
        "params",
        "other",
    ]


@pytest.mark.parametrize(
    "tree",
    [
        {"net/conv": {"w": ONE}, "net/norm": {"w": ONE}},
        {"net/~/conv": {"w": ONE}, "step": 3},
        {"net/~/conv": {"w": ONE, "name": "conv"}},
    ],
)
def test_other_trees_are_no_modules_of_haiku(tree: Mapping[str, Any]) -> None:
    assert set(contents({"params": tree}).state_dicts) == {
        f"params.{key}" for key, value in tree.items() if isinstance(value, dict)
    }


def test_what_was_found_instead_of_tensors_is_listed() -> None:
    with pytest.raises(UnreadableCheckpoint) as caught:
        contents({f"k{n}": n for n in range(10)})
    assert "found k0 (int), k1 (int)" in str(caught.value)
    assert "k7 (int)." in str(caught.value) and "k8" not in str(caught.value)
    with pytest.raises(UnreadableCheckpoint, match=r"^folder/file\.pth holds no tensors.*found an empty dictionary"):
        contents({})


@pytest.mark.parametrize(
    "tree", [{"ema": {"shadow_params": [ONE, ONE]}}, {"shadow": (ONE, ONE)}, {"my.ema": [ONE] * 2}]
)
def test_averages_without_names_are_refused_by_path(tree: Mapping[str, Any]) -> None:
    path = "ema.shadow_params" if "ema" in tree else next(iter(tree))
    with pytest.raises(UnreadableCheckpoint, match=rf"^folder/file\.pth holds tensors without names under `{path}`"):
        contents(tree)
    warnings = contents({**tree, "model": {"w": ONE}}).warnings
    assert len(warnings) == 1 and warnings[0].startswith(f"`{path}` is a moving average without names")


@pytest.mark.parametrize(
    "tree", [{"ema": [ONE]}, {"ema": [ONE, 3]}, {"other": [ONE, ONE]}, {"ema": 0.9}, {3: [ONE] * 2}]
)
def test_other_lists_are_no_averages(tree: Mapping[Any, Any]) -> None:
    assert contents({**tree, "model": {"w": ONE}}).warnings == ()


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "teacher", "student"])
def test_an_empty_state_dict_beside_a_full_one_is_said(key: str) -> None:
    (warning,) = contents({key: {}, "net": {"w": ONE}, "optimizer": {}}).warnings
    assert warning.startswith(f"`{key}` is empty")


def test_pieces_of_weights_are_refused() -> None:
    empty, names = torch.empty(0), "abcd"
    half = {name: empty if name in "ab" else ONE for name in names}
    assert list(contents({"model": half}).state_dicts) == ["model"]
    with pytest.raises(
        UnreadableCheckpoint, match=r"^file\.pth: `model` holds empty tensors such as a: the weights were"
    ):
        contents({"model": {**half, "c": empty}})
    assert list(contents({"model": dict.fromkeys(names, torch.empty(0, 3))}).state_dicts) == ["model"]
    with pytest.raises(
        UnreadableCheckpoint, match=r"^file\.pth: the root holds layer\._flat_param_3: the weights were"
    ):
        contents({"layer._flat_param_3": ONE, "w": ONE})


def test_the_architecture_is_what_the_file_says_first() -> None:
    tree = {"net": {"w": ONE}}
    assert contents({**tree, "arch": "resnet50", "args": {"arch": "vit"}}, architecture="swin").arch == "resnet50"
    assert contents({**tree, "model": 3, "args": {"model_name": "vit"}}, architecture="swin").arch == "vit"
    assert contents({**tree, "args": "vit"}, architecture="swin").arch == "swin"
    assert contents({**tree, "args": {"model": "vit", "arch": "deit"}}).arch == "deit"
    assert contents(tree).arch is None


def test_timms_config_names_a_network_unless_it_resizes_it() -> None:
    tree = {"w": ONE}
    same = contents(tree, architecture="vit_tiny", model_args={"num_classes": 3})
    other = contents(tree, architecture="vit_tiny", model_args={"embed_dim": 32})
    assert (same.arch, other.arch) == ("vit_tiny", None)
    assert (same.timm_args, other.timm_args) == ({"num_classes": 3}, {"embed_dim": 32})
    assert same.timm_config == {"architecture": "vit_tiny", "model_args": {"num_classes": 3}}
    assert contents(tree, architecture="vit_tiny", model_args=None).timm_args == {}
    assert contents(tree, model_type="vit").timm_config == {}
    assert contents(tree, architecture="vit_tiny").timm_config == {"architecture": "vit_tiny"}
    assert contents(tree, pretrained_cfg={}).timm_config == {"pretrained_cfg": {}}


# fmt: off
OF_SIZE = (
    "layers", "channels", "depths", "dims", "stem_chs", "stem_width", "embed_dim", "depth", "num_heads", "patch_size",
    "window_size", "mlp_ratio", "reg_tokens", "class_token", "kernel_sizes", "use_grn", "cardinality", "base_width",
)
# fmt: on


@pytest.mark.parametrize("argument", OF_SIZE)
def test_an_argument_of_size_makes_another_network(argument: str) -> None:
    assert contents({"w": ONE}, architecture="vit_tiny", model_args={"num_classes": 3, argument: 1}).arch is None


def test_options_and_trainer() -> None:
    tree = {"net": {"w": ONE}}
    assert contents({**tree, "args": {"lr": 1}}).args == {"lr": 1} and contents({**tree, "args": 1}).args == {}
    assert contents({**tree, "pytorch-lightning_version": "2"}).by_lightning and not contents(tree).by_lightning


def test_names_inside_and_outside_of_a_wrapper_are_counted_and_listed() -> None:
    names = {**{f"module.w{n}": ONE for n in range(12)}, **{f"v{n}": ONE for n in range(11)}}
    with pytest.raises(WeightMismatch) as caught:
        refuse_mixed_wrappers(StateDict("net", names), "file")
    first, *lines, last = str(caught.value).splitlines()
    assert first == "file: `net` mixes prefixes: 12 of 23 names are under module. and 11 are not:"
    assert lines == [*(f"  + module.w{n}" for n in range(10)), *(f"  + v{n}" for n in range(10))]
    assert last.startswith("They may belong to two networks")


def test_one_prefix_is_not_mixed_and_lightnings_may_be() -> None:
    for names in (["module.a", "module.b"], ["a", "b"], ["model.a", "head.b"]):
        refuse_mixed_wrappers(StateDict("", dict.fromkeys(names, ONE)), "file")
    with pytest.raises(WeightMismatch):
        refuse_mixed_wrappers(StateDict("", {"_fpw_module.a": ONE, "b": ONE}), "file")


def test_the_first_weights_are_the_default() -> None:
    assert [choose(which, ("teacher", "student")) for which in (None, "student", "teacher")] == [
        "teacher", "student", "teacher",
    ]  # fmt: skip
    with pytest.raises(UnknownName, match=r"^there is no network in this file called 'studnt'\. Did you mean student"):
        choose("studnt", ("teacher", "student"))
