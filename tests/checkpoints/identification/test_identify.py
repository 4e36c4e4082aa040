from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.checkpoints.families import FAMILIES
from transfer.checkpoints.identification.filling import Choice
from transfer.checkpoints.identification.identify import family_called, identify, plan_for
from transfer.checkpoints.keys.contents import contents_of
from transfer.checkpoints.loading import inspect_checkpoint
from transfer.checkpoints.reading.checkpoint import RawCheckpoint, read_checkpoint
from transfer.errors import AmbiguousFamily, UnknownFamily, UnknownName


def contents(tree: Any, container: str = "torch zip") -> Any:
    return contents_of(RawCheckpoint(Path("file.pth"), container, tree))


def test_names_and_aliases() -> None:
    names = [name for family in FAMILIES for name in (family.name, *family.aliases)]
    assert len(names) == len(set(names))
    assert all(family_called(name.upper()).name in names for name in names)
    with pytest.raises(UnknownName, match="Did you mean moco"):
        family_called("mocoo")


def test_one_family_at_most_is_sure(layout: Any, tmp_path: Path) -> None:
    written = contents_of(read_checkpoint(layout.write(tmp_path)))
    sure = [family.name for family in FAMILIES if (claim := family.recognise(written)) and claim.decisive]
    assert len(sure) < 2 and set(sure) <= {layout.family}
    if not (layout.options or {}).get("family"):
        assert identify(written).name == layout.family


def test_a_teacher_beside_a_queue_is_ambiguous(layouts: Any) -> None:
    tree = {**layouts["dino: full vit"]().tree, "state_dict": layouts["moco: v1"]().tree["state_dict"]}
    with pytest.raises(AmbiguousFamily, match=r"(?s)dino: teacher.*moco: encoder_q.*--family dino or --family moco"):
        identify(contents(tree))
    assert plan_for(contents(tree), "moco", None)[1].which == "query"
    assert plan_for(contents(tree), "dino", "student")[1].which == "student"


@pytest.mark.parametrize(
    "names",
    [
        ["encoder.0.weight", "encoder.0.bias", "classifier.0.weight"],
        ["stages.0.0.conv_dw.weight", "stem.0.weight"],
    ],
    ids=["nameless", "byobnet"],
)
def test_other_networks_are_unknown(names: list[str]) -> None:
    with pytest.raises(UnknownFamily, match=names[0]) as caught:
        identify(contents({name: torch.ones(2) for name in names}))
    assert all(family.name in str(caught.value) for family in FAMILIES) and "--family" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["g_mapping.dense0.weight", "g_synthesis.blocks.4x4.const"], "StyleGAN generator"),
        (["features.0.weight", "features.0.bias", "classifier.0.weight"], "VGG"),
        (["features.denseblock1.denselayer1.conv1.weight"], "DenseNet"),
    ],
    ids=["stylegan", "vgg", "densenet"],
)
def test_networks_that_are_no_backbones_are_called_by_their_name(names: list[str], what: str) -> None:
    with pytest.raises(UnknownFamily, match=rf"holds a {what}.*cannot be evaluated"):
        identify(contents({name: torch.ones(2) for name in names}))


@pytest.mark.parametrize(
    ("extra", "family"), [("decoder_pos_embed", "mae"), ("blocks.0.attn.q_bias", "beit"), ("fc_norm.weight", "timm")]
)
def test_names_of_other_methods_in_a_vit(extra: str, family: str, layouts: Any) -> None:
    assert identify(contents({"model": {**layouts["timm: vit"]().tree, extra: torch.ones(1, 1, 64)}})).name == family


def test_a_method_that_no_family_knows(layouts: Any) -> None:
    with pytest.raises(UnknownFamily):
        identify(contents({"model": {**layouts["timm: vit"]().tree, "mask_token": torch.ones(1, 1, 64)}}))


def test_losses_tell_ibot_from_dino(layouts: Any) -> None:
    assert identify(contents({**layouts["dino: full vit"]().tree, "ibot_loss": {}})).name == "ibot"


@pytest.mark.parametrize("container", ["state_dict", "model"])
def test_a_headless_vit_alone_is_a_release_with_a_warning(container: str, layouts: Any) -> None:
    family, plan = plan_for(contents({container: layouts["dino: vit backbone"]().tree}), None, None)
    assert family.name == {"state_dict": "ibot", "model": "mae"}[container]
    assert any("--family" in warning for warning in plan.warnings)


def test_a_family_that_does_not_fit_says_what_it_expects(layouts: Any) -> None:
    with pytest.raises(UnknownFamily, match=r"(?s)layouts of the family moco: expected.*encoder_q"):
        plan_for(contents(layouts["timm: vit"]().tree), "moco", None)


def test_the_family_option_overrides_the_convention(layouts: Any, tmp_path: Path) -> None:
    path = layouts["dino: vit backbone"]().write(tmp_path)
    as_dino, as_timm = inspect_checkpoint(path), inspect_checkpoint(path, Choice("timm"))
    assert as_dino.backbone.options["position_interpolation"] == "dino"
    assert "position_interpolation" not in as_timm.backbone.options
    assert (as_dino.family, as_timm.family) == ("dino", "timm")


def test_formulas_are_told_by_their_classes(layouts: Any) -> None:
    tree = layouts["timm: training"]().tree
    assert identify(contents(tree)).name == "timm"
    tree["state_dict"] = {**tree["state_dict"], "_orig_mod.module.head.weight": torch.ones(21_000, 64)}
    assert identify(contents(tree)).name == "fdsl"


def test_a_broken_declaration_of_the_input_is_named(layouts: Any) -> None:
    tree = {**layouts["fdsl: own rcdb"]().tree, "input": {"mean": [0.5]}}
    with pytest.raises(Exception, match="`input` should say mean and std"):
        plan_for(contents(tree), None, None)
