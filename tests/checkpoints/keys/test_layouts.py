"""Shared layouts, plain keys and averages, by names alone; what a file declares; how networks of one file are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.checkpoints.keys.contents import Contents, StateDict, contents_of
from transfer.checkpoints.keys.declared import contract_of, declared_contract, triple
from transfer.checkpoints.keys.family import FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import (
    BEIT,
    CONVNEXT,
    ORIGINAL_CONVNEXT,
    RESNET,
    RESNETV2,
    SWIN,
    VIT,
    Layout,
    averages,
    canonical_rules,
    generic_network,
    generic_state_dicts,
    has_deep_stem,
    has_head,
    is_average,
    is_torchvision_resnet,
    layout_of,
    legacy_batchnorm,
    names_under,
)
from transfer.checkpoints.keys.matching import match
from transfer.checkpoints.keys.rules import Drop, Rename, apply_rules
from transfer.checkpoints.keys.weights import KeyMapping, Weights, networks_under, with_average
from transfer.checkpoints.keys.wrappers import unwrapped
from transfer.checkpoints.reading.checkpoint import RawCheckpoint
from transfer.errors import UnknownName, UnreadableCheckpoint
from transfer.schemas.checkpoint import InputContract

ONE = torch.ones(1)
CONTRACT = InputContract((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
BODY = {
    RESNET: "layer4.2.conv1.weight",
    VIT: "blocks.11.attn.qkv.weight",
    SWIN: "layers.3.blocks.1.mlp.fc1.weight",
    RESNETV2: "stages.0.blocks.10.conv2.weight",
    CONVNEXT: "stages.3.blocks.0.conv_dw.weight",
    ORIGINAL_CONVNEXT: "stages.3.0.dwconv.weight",
}
KINDS = dict(zip(BODY, ("resnet", "vit", "swin", "resnetv2", "convnext", "convnext"), strict=True))


def state(names: Iterable[str]) -> dict[str, torch.Tensor]:
    return dict.fromkeys(names, ONE)


def contents(tree: Mapping[str, Any]) -> Contents:
    return contents_of(RawCheckpoint(Path("f.pth"), "torch zip", tree))


@pytest.mark.parametrize(("shared", "name"), BODY.items(), ids=lambda value: getattr(value, "name", ""))
def test_a_name_tells_the_layout(shared: Layout, name: str) -> None:
    assert layout_of(iter(["other", name])) == shared
    found = plan({"model": Weights(StateDict("a", state([name])))})
    assert found is not None and found.kind == KINDS[shared]
    assert layout_of([f"net.{name}", "other"]) is None
    assert layout_of([name], [each for each in BODY if each != shared]) is None


@pytest.mark.parametrize(
    "name", ["blocks.3.attn.q_bias", "blocks.0.attn.relative_position_bias_table", "rel_pos_bias.x"]
)
def test_beit_is_told_before_a_vit_by_its_biases(name: str) -> None:
    assert layout_of([BODY[VIT], name], (BEIT, VIT)) == BEIT
    assert layout_of([BODY[VIT], "blocks.0.attn.q_bias_table"], (BEIT, VIT)) == VIT


def canonical(layout: Layout, *names: str) -> tuple[list[str], dict[str, str]]:
    renamed = apply_rules(state(names), canonical_rules(names, layout))
    return list(renamed.sources), dict(renamed.dropped)


HEADS: Mapping[Layout, tuple[str, ...]] = {
    RESNET: ("fc.weight",),
    VIT: ("head.weight", "head_dist.bias", "pre_logits.fc.weight", "fc_norm.weight"),
    SWIN: ("head.fc.weight",),
    BEIT: ("head.weight", "fc_norm.bias"),
    RESNETV2: ("head.fc.weight",),
    CONVNEXT: ("head.norm.weight", "head.fc.bias"),
    ORIGINAL_CONVNEXT: ("head.weight",),
}


@pytest.mark.parametrize("shared", HEADS, ids=lambda shared: shared.name)
def test_what_stands_after_the_backbone_is_left_out_and_seen(shared: Layout) -> None:
    kept, dropped = canonical(shared, "norm1.weight", *HEADS[shared])
    assert kept == ["norm1.weight"] and list(dropped) == list(HEADS[shared])
    assert all(reason for reason in dropped.values())
    assert all(has_head(StateDict("", state([name])), shared) for name in HEADS[shared])
    assert not has_head(StateDict("", state(["norm1.weight", "xhead.weight", "xfc.weight"])), shared)


def test_a_norm_after_the_pooling_is_no_classifier() -> None:
    reasons = canonical(CONVNEXT, "head.norm.weight", "head.fc.weight")[1]
    assert "norm" in reasons["head.norm.weight"] and "classifier" in reasons["head.fc.weight"]


def test_a_distillation_token_is_a_register() -> None:
    assert canonical(VIT, "dist_token", "cls_token")[0] == ["reg_token", "cls_token"]


def test_merges_of_old_swins_move_up_a_stage() -> None:
    old = [f"layers.{n}.downsample.norm.weight" for n in range(3)]
    new = [f"layers.{n + 1}.downsample.norm.weight" for n in range(3)]
    assert canonical(SWIN, *old)[0] == new and canonical(SWIN, *new)[0] == new
    buffers = ["layers.0.blocks.0.attn.relative_position_index", "layers.0.blocks.1.attn_mask"]
    assert list(canonical(SWIN, *buffers)[1]) == buffers


def test_beit_leaves_out_what_pretraining_needs() -> None:
    beside = ("mask_token", "lm_head.weight", "relative_position_index", "blocks.0.attn.relative_position_index")
    kept, dropped = canonical(BEIT, "blocks.0.attn.q_bias", *beside)
    assert (
        all(dropped.values())
        and kept == ["blocks.0.attn.q_bias"]
        and list(dropped) == [beside[2], beside[3], beside[0], beside[1]]
    )


def test_convnexts_of_the_paper_are_timms() -> None:
    pairs = {
        "downsample_layers.0.1.weight": "stem.1.weight",
        "downsample_layers.2.0.bias": "stages.2.downsample.0.bias",
        "stages.2.13.dwconv.weight": "stages.2.blocks.13.conv_dw.weight",
        "stages.0.1.pwconv1.bias": "stages.0.blocks.1.mlp.fc1.bias",
        "stages.0.1.pwconv2.weight": "stages.0.blocks.1.mlp.fc2.weight",
        "stages.0.1.norm.weight": "stages.0.blocks.1.norm.weight",
        "stages.0.1.gamma": "stages.0.blocks.1.gamma",
        "stages.0.1.grn.gamma": "stages.0.blocks.1.mlp.grn.weight",
        "stages.0.1.grn.beta": "stages.0.blocks.1.mlp.grn.bias",
    }
    tensors = {name: torch.ones(1, 1, 1, 4) if "grn" in name else ONE for name in pairs}
    renamed = apply_rules(
        {**tensors, "norm.weight": ONE, "norms.3.bias": ONE}, canonical_rules(pairs, ORIGINAL_CONVNEXT)
    )
    assert [source.name for source in renamed.sources.values()] == list(pairs)
    assert list(renamed.sources) == list(pairs.values())
    assert (
        renamed.shapes["stages.0.blocks.1.mlp.grn.weight"] == renamed.shapes["stages.0.blocks.1.mlp.grn.bias"] == (4,)
    )
    assert list(renamed.dropped) == ["norm.weight", "norms.3.bias"]


def test_counts_of_batches_may_be_missing_where_there_is_none() -> None:
    assert legacy_batchnorm(["bn1.weight", "bn1.num_batches_tracked"]) == ()
    names = ("bn1.num_batches_tracked", "layer1.0.bn1.num_batches_tracked")
    target = {name: torch.empty((), device="meta") for name in names}
    found = match(target, apply_rules({}, ()), legacy_batchnorm(["bn1.weight"]), title="t", family="f")
    assert set(found.initialised) == {*names}


def test_stems_and_prefixes() -> None:
    plain, deep = (StateDict("", state([name, "layer1.0.bn1.weight"])) for name in ("conv1.weight", "conv1.0.weight"))
    assert (has_deep_stem(plain), has_deep_stem(deep)) == (False, True)
    assert (
        is_torchvision_resnet(plain, RESNET)
        and not is_torchvision_resnet(deep, RESNET)
        and not is_torchvision_resnet(plain, VIT)
    )
    assert names_under(StateDict("", state(["q.a.q.b", "qa", "k.a"])), "q.") == ["a.q.b"]


def test_generic_state_dicts_outer_and_preferred_first_and_the_root_last() -> None:
    inner = {"model": state(["w"]), "state_dict": {"net": state(["w"])}, "net": state(["w"]), "teacher": state(["w"])}
    found = generic_state_dicts(contents({**inner, "v": ONE}))
    assert [state_dict.path for state_dict in found] == ["model", "net", "state_dict.net", ""]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *(
            (path, True)
            for path in (
                "ema",
                "shadow",
                "model_ema",
                "ema_model",
                "state_dict_ema",
                "ema_state_dict",
                "ema.state_dict",
                "model.shadow",
                "ema.shadow",
            )
        ),
        *((path, False) for path in ("", "model", "state_dict.net", "ema.teacher", "teacher.ema", "emas")),
    ],
)
def test_paths_of_averages(path: str, expected: bool) -> None:
    assert is_average(path) == expected


def test_an_average_counts_where_there_is_no_other_network() -> None:
    names = [BODY[VIT]]
    both = contents({"ema": {"shadow": state(names)}, "model": state(names)})
    assert [state_dict.path for state_dict in averages(both)] == ["ema.shadow"]
    found = generic_network(both)
    assert found is not None and (found[0].path, found[1]) == ("model", VIT)
    alone = generic_network(contents({"ema": {"shadow": state(names)}, "model": state(["other"])}))
    assert alone is not None and alone[0].path == "ema.shadow"
    assert generic_network(both, iter([SWIN])) is None and generic_network(contents({"teacher": state(names)})) is None


def test_the_copies_of_a_file() -> None:
    names = ["layer1.0.conv1.weight", "bn1.running_mean"]
    tree = contents(
        {"model": state([f"net.{name}" for name in names]), "ema": state([f"net.{name}" for name in names])}
    )
    model = Weights(tree.state_dicts["model"], "net.", (Drop("head", "why"),))
    assert model.names == names
    copies = with_average(model, tree)
    assert list(copies) == ["model", "ema"] and copies["model"] is model
    assert (copies["ema"].state_dict.path, copies["ema"].prefix, copies["ema"].rest) == ("ema", "net.", model.rest)
    assert list(with_average(Weights(tree.state_dicts["ema"]), tree)) == ["ema"]


def test_an_average_without_statistics_is_no_copy() -> None:
    tree = contents({"model": state(["a.weight", "a.running_mean"]), "ema": state(["a.weight"])})
    assert list(with_average(Weights(tree.state_dicts["model"]), tree)) == ["model"]
    norms = contents({"model": state(["a.weight"]), "ema": state(["a.weight"])})
    assert list(with_average(Weights(norms.state_dicts["model"]), norms)) == ["model", "ema"]


def plan(all_weights: Mapping[str, Weights], which: str | None = None, **defaults: Any) -> Plan | None:
    tree = contents({"arch": "said", "w": ONE})
    return plan_weights(tree, all_weights, which, FamilyDefaults(CONTRACT, **defaults))


def test_a_copy_is_chosen_and_the_others_are_kept() -> None:
    names = ["net.layer1.0.conv1.weight", "net.layer1.0.bn1.num_batches_tracked"]
    one, two = (StateDict(path, state(names)) for path in ("a", "b"))
    all_weights = {"student": Weights(one, "net."), "teacher": Weights(two, "net.")}
    first, other = plan(all_weights), plan(all_weights, "teacher")
    assert first is not None and other is not None
    assert (first.which, first.kind, first.state_dict, first.arch, first.input) == (
        "student",
        "resnet",
        one,
        "said",
        CONTRACT,
    )
    assert (other.which, other.state_dict) == ("teacher", two)
    assert (first.heads, first.image, dict(first.options)) == (None, None, {})
    (label, left), *none = first.other_weights.items()
    assert (label, left.state_dict, none) == ("teacher", two, [])
    assert left.rules == first.rules and first.allowed_missing == () and first.warnings == ()
    assert list(apply_rules(one.tensors, first.rules).sources) == [name.removeprefix("net.") for name in names]
    with pytest.raises(UnknownName, match="Available: student, teacher"):
        plan(all_weights, "ema")


def test_what_a_family_knows_goes_before_what_the_file_says() -> None:
    weights = {"model": Weights(StateDict("a", state(["blocks.0.norm1.weight", "fc_norm.weight"])))}
    found = plan(weights, arch="vit_tiny", heads=3, image=(32, 48), options={"final_norm": True}, warnings=("odd",))
    assert found is not None
    assert (found.arch, found.heads, found.image, dict(found.options)) == (
        "vit_tiny",
        3,
        (32, 48),
        {"final_norm": True},
    )
    assert found.warnings[0] == "odd" and "fc_norm" in found.warnings[-1] and len(found.warnings) == 2


@pytest.mark.parametrize(
    ("names", "pooled"),
    [
        (["blocks.0.norm1.weight", "fc_norm.weight"], True),
        (["blocks.0.norm1.weight", "fc_norm.weight", "norm.weight"], False),
        (["blocks.0.norm1.weight", "fc_norm.weight", "norm.bias"], False),
        (["blocks.0.norm1.weight"], False),
        (["layers.0.blocks.0.norm1.weight", "fc_norm.weight"], False),
    ],
)
def test_a_network_without_its_last_norm_says_so(names: list[str], pooled: bool) -> None:
    found = plan({"model": Weights(StateDict("a", state(names)))})
    assert found is not None
    assert (dict(found.options), len(found.warnings)) == (({"final_norm": False}, 1) if pooled else ({}, 0))


def test_old_resnets_are_excused() -> None:
    found = plan({"model": Weights(StateDict("a", state(["layer1.0.bn1.weight"])))})
    assert found is not None and len(found.allowed_missing) == 1


def test_names_of_no_layout_are_no_plan_unless_a_family_has_rules() -> None:
    weights = {"model": Weights(StateDict("a", state(["strange"])))}
    assert plan(weights) is None
    own = KeyMapping("vit", (Drop("strange", "why"),))
    found = plan_weights(contents({"w": ONE}), weights, None, FamilyDefaults(CONTRACT), own)
    assert found is not None and (found.kind, found.rules, found.arch) == ("vit", own.rules, None)


def test_the_layout_of_another_copy_helps() -> None:
    weights = {
        "model": Weights(StateDict("a", state(["strange"]))),
        "ema": Weights(StateDict("b", state([BODY[SWIN]]))),
    }
    found = plan(weights)
    assert found is not None and (found.which, found.kind) == ("model", "swin")


def test_counters_of_averages_go_and_tensors_of_their_names_stay() -> None:
    tensors = {
        "step": torch.tensor(3),
        "decay": torch.ones(2),
        "layer1.0.conv1.weight": ONE,
        "n_averaged": torch.tensor(1),
    }
    renamed = apply_rules(tensors, Weights(StateDict("a", tensors)).rules)
    assert list(renamed.sources) == ["decay", "layer1.0.conv1.weight"] and set(renamed.dropped) == {
        "step",
        "n_averaged",
    }


def test_wrappers_are_said_where_no_prefix_says_whose_names_they_are() -> None:
    wrapped = StateDict("a", state(["w"]), "module.", inner=("_orig_mod.",))
    (warning,) = Weights(wrapped).warnings
    assert warning.startswith("the names in `a` stood inside of module., _orig_mod.,")
    assert Weights(wrapped, "net.").warnings == () and Weights(StateDict("a", state(["w"]))).warnings == ()


def test_all_wrappers_go_in_any_nesting_but_counters_have_none() -> None:
    tensors = {
        "n_averaged": ONE,
        "module.model._orig_mod.a._fpw_module._orig_mod.w": ONE,
        "module.model._orig_mod.b": ONE,
    }
    names, wrapper = unwrapped(tensors)
    assert (list(names), wrapper) == (["n_averaged", "a.w", "b"], "module.model._orig_mod.")
    assert unwrapped({"step": ONE, "decay": ONE}) == ({"step": ONE, "decay": ONE}, "")


@pytest.mark.parametrize("counter", ["n_averaged", "steps", "step", "initted", "num_updates", "decay"])
def test_counters_share_no_wrapper(counter: str) -> None:
    assert unwrapped({counter: ONE, "module.w": ONE}) == ({counter: ONE, "w": ONE}, "module.")
    assert unwrapped({"other": ONE, "module.w": ONE})[1] == ""


@pytest.mark.parametrize("given", [[1, 2, 3], (0.1, 0.2, 0.3)])
def test_three_numbers(given: Any) -> None:
    assert triple(given) == tuple(map(float, given))


@pytest.mark.parametrize("given", [[1, 2], [1, 2, 3, 4], "123", None, [1, 2, "3"], {1, 2, 3}])
def test_anything_else_is_no_triple(given: Any) -> None:
    assert triple(given) is None
    assert (
        contract_of({"mean": given, "std": [1, 1, 1]}) is None
        and contract_of({"mean": [1, 1, 1], "std": given}) is None
    )


def test_metadata_with_mean_and_std_is_a_contract() -> None:
    found = contract_of({"mean": [0, 0.1, 0.2], "std": (1, 2, 3), "range": "0-255"})
    assert found == InputContract((0.0, 0.1, 0.2), (1.0, 2.0, 3.0), source="file")


DECLARED = {"mean": [1, 2, 3], "std": (4, 5, 6)}


def test_a_declared_contract() -> None:
    usual = declared_contract(DECLARED, Path("a.json"))
    assert usual == InputContract((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "0-1", "RGB", source="file")
    other = declared_contract({**DECLARED, "range": "0-255", "channel_order": "BGR"}, Path("a"), source="user")
    assert (other.range, other.channel_order, other.source) == ("0-255", "BGR", "user")


@pytest.mark.parametrize(
    "given",
    [
        *({**DECLARED, key: [1, 2]} for key in ("mean", "std")),
        *({**DECLARED, key: [1, 2, 3, 4]} for key in ("mean", "std")),
        *({**DECLARED, key: 3} for key in ("mean", "std")),
        *({**DECLARED, key: ["a", 2, 3]} for key in ("mean", "std")),
        {"mean": [1, 2, 3]},
        {**DECLARED, "range": "0-2"},
        {**DECLARED, "channel_order": "GRB"},
        None,
        [],
    ],
)
def test_a_contract_that_cannot_be_is_refused_with_the_file(given: Any) -> None:
    with pytest.raises(UnreadableCheckpoint, match=r"^a\.json: `input` should say mean and std.*Error: "):
        declared_contract(given, Path("a.json"))


def test_networks_below_prefixes_leave_each_other_out() -> None:
    whole = StateDict("a", state(["q.w", "k.w", "k+w", "queue"]))
    networks = networks_under(whole, {"student": "q.", "teacher": "k."}, (Drop("queue", "negatives"),))
    assert list(networks) == ["student", "teacher"] and networks["student"].names == ["w"]
    for name, other in (("student", "k.w"), ("teacher", "q.w")):
        renamed = apply_rules(whole.tensors, networks[name].rules)
        assert list(renamed.sources) == ["w"] and set(renamed.dropped) == {"queue", other}
        assert list(renamed.unexpected) == ["k+w"] and f"the {name} network was chosen" in renamed.dropped[other]


def test_renaming_comes_last() -> None:
    weights = Weights(StateDict("a", state(["q.w", "head"])), "q.", (Drop("head", "why"),), (Rename("w", "v"),))
    assert list(apply_rules(weights.state_dict.tensors, weights.rules).sources) == ["v"]
