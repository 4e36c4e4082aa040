"""Genuine files become those of other libraries and come back; properties that all libraries share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints.export.networks import BASIC, VIT, error, images, small
from tests.checkpoints.export.test_torchvision import run
from tests.checkpoints.export.writing import certificate, exported
from transfer import cli
from transfer.backbones.building import build_backbone
from transfer.checkpoints.export import detectron2, huggingface, openmmlab, timm_builders, torchvision
from transfer.checkpoints.export import huggingface_transformers as huggingface_more
from transfer.checkpoints.export import openmmlab_transformers as openmmlab_more
from transfer.checkpoints.export.exporting import LIBRARIES, export_checkpoint, export_for
from transfer.checkpoints.export.folding import PACKED, class_position_in_token, register_positions_in_tokens
from transfer.checkpoints.export.library import Export, named
from transfer.checkpoints.export.properties import PROPERTIES, Limits, complete
from transfer.checkpoints.identification.filling import Choice
from transfer.checkpoints.keys.values import Value
from transfer.checkpoints.loading import load_backbone
from transfer.errors import BadOption, Inexpressible, UnknownName
from transfer.schemas.checkpoint import BackboneSpec, Certificate

MODULES = (detectron2, huggingface, huggingface_more, openmmlab, openmmlab_more, timm_builders, torchvision)
LIMITS = [
    (value, module, name) for module in MODULES for name, value in vars(module).items() if isinstance(value, Limits)
]
SUFFIX = {"torchvision": ".pth", "openmmlab": ".pth", "detectron2": ".pkl"}

BACK = [
    ("timm", "dino: full vit"),
    ("timm", "timm: swin"),
    ("timm", "timm: convnext"),
    ("timm", "beit: pre-training"),
    ("timm", "cae: small has twelve heads"),
    ("timm", "clip: vit"),
    ("timm", "big_vision: class token"),
    ("timm", "densecl: key"),
    ("torchvision", "torchvision: resnet18"),
    ("torchvision", "torchvision: swin"),
    ("torchvision", "torchvision: convnext"),
    ("torchvision", "dino: full vit"),
    ("huggingface", "moco: v2"),
    ("huggingface", "mae: pre-training"),
    ("huggingface", "dinov2: registers"),
    ("huggingface", "timm: swin"),
    ("huggingface", "beit: fine-tuned"),
    ("huggingface", "timm: convnext"),
]
SEEN_OTHERWISE = {"position_interpolation", "bias_interpolation", "padding"}
"""What differs at other sizes than the trained one, and is said: the reader believes the library that it reads."""


@pytest.mark.parametrize(("library", "name"), BACK)
@torch.no_grad()
def test_there_and_back_is_the_same_network(library: str, name: str, layouts: Any, tmp_path: Path) -> None:
    genuine = layouts[name]()
    choice = Choice(**(genuine.options or {}))
    output = tmp_path / f"out{SUFFIX.get(library, '')}"
    path = genuine.write(tmp_path)
    try:
        report, _ = export_checkpoint(path, output, library, choice)
    except Inexpressible:
        pytest.fail(f"{library} should be able to be {name}")
    original, _ = load_backbone(path, **(genuine.options or {}))
    again, second = load_backbone(output)
    state = again.network.state_dict()
    for key, tensor in original.network.state_dict().items():
        if library != "detectron2" or not key.endswith("batches_tracked"):
            assert torch.equal(state[key], tensor), key
    before, after = (complete(spec) for spec in (report.backbone, second.backbone))
    assert {k for k in before if before[k] != after[k]} <= SEEN_OTHERWISE
    if library != "torchvision":  # whose files say nothing about images
        assert error(torch.tensor(second.input.mean), torch.tensor(report.input.mean)) < 1e-6


@torch.no_grad()
def test_a_genuine_file_computes_the_same_in_the_real_libraries(layouts: Any, tmp_path: Path) -> None:
    genuine = layouts["dino: full vit"]()
    path, x = genuine.write(tmp_path), images(64)
    expected = genuine.features(x)
    _, export = export_checkpoint(path, tmp_path / "vit.pth", "torchvision")
    model = run(export.snippet)["model"]
    assert error(model(x), expected[:, 0]) < 1e-5
    export_checkpoint(path, tmp_path / "folder", "timm")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True, num_classes=0).eval()
    assert error(theirs.forward_features(x), expected) < 1e-5


@pytest.mark.parametrize(("limit", "module", "name"), LIMITS, ids=[f"{m.__name__[27:]}-{n}" for _, m, n in LIMITS])
def test_limits_name_options_that_exist_and_say_one_thing(limit: Limits, module: Any, name: str) -> None:
    known = PROPERTIES["vit" if name == "DINOV2" else name.lower()]
    assert limit.takes | limit.only.keys() <= known.keys()
    assert not limit.takes & limit.only.keys()
    given = {option for option, (usual, _) in known.items() if usual is None}
    assert given - limit.takes <= {"mlp_hidden"}


def test_options_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    _, network = small("resnet", BASIC)
    odd = BackboneSpec("resnet", "odd", {**BASIC, "attention": "none yet"})
    with pytest.raises(Inexpressible, match="attention"):
        complete(odd)
    assert complete(network.spec)["eps"] == 1e-5


def test_usual_values_are_those_of_the_builders() -> None:
    """An option left out and one with its usual value build the same network."""
    for kind, options in (("resnet", BASIC), ("vit", VIT)):
        spec = BackboneSpec(kind, kind, options)
        full = BackboneSpec(kind, kind, {k: v for k, v in complete(spec).items() if v is not None})
        assert repr(build_backbone(full).network) == repr(build_backbone(spec).network)


def test_every_library_says_what_it_lacks(tmp_path: Path) -> None:
    _, network = small("wide_resnet", {"units": 2, "widths": [16, 32, 64]})
    for library in LIBRARIES:
        with pytest.raises(Inexpressible, match="Libraries that may: none"):
            export_for(library, network, tmp_path / "out")


def test_unknown_libraries_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean torchvision"):
        export_checkpoint(tmp_path / "none.pth", tmp_path / "out", "torchvison")


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_nothing_half_written_stays(library: Any, tmp_path: Path) -> None:
    """Not even where the last tensor cannot be read."""
    _, network = small("resnet", {**BASIC, "widths": [64, 128, 256, 512]})

    def broken() -> torch.Tensor:
        raise RuntimeError("the disk is gone")

    output = tmp_path / f"out{SUFFIX.get(library.name, '')}"
    export = export_for(library, network, output)
    name, last = list(export.tensors.items())[-1]
    tensors = {**export.tensors, name: Value(last.shape, last.dtype, broken)}
    with pytest.raises(RuntimeError, match="the disk is gone"):
        library.write(output, Export(tensors, "", (), export.files), certificate(network))
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    _, network = small("resnet", BASIC)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(BadOption, match="exists already"):
        exported("timm", network, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_the_certificate_stands_next_to_single_files(tmp_path: Path) -> None:
    _, network = small("resnet", {**BASIC, "widths": [64, 128, 256, 512]})
    for library, suffix in SUFFIX.items():
        exported(library, network, tmp_path / f"{library}{suffix}")
        conversion = json.loads((tmp_path / f"{library}.conversion.json").read_text())
        assert Certificate.from_json(conversion["certificate"]) == certificate(network)
        assert conversion["snippet"] and isinstance(conversion["notes"], list)


def test_single_files_hold_no_more_than_their_tensors(tmp_path: Path) -> None:
    """A view saved with all of what it is a view of would make the file three times as large."""
    _, network = small("vit", VIT)
    export = exported("torchvision", network, tmp_path / "out.pth")
    size = sum(value.dtype.itemsize * torch.Size(value.shape).numel() for value in export.tensors.values())
    assert (tmp_path / "out.pth").stat().st_size < 1.2 * size + 40_000


def test_the_command_prints_the_snippet_after_the_certificate(
    layouts: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(layouts["torchvision: resnet18"]().write(tmp_path))
    output = str(tmp_path / "out.pth")
    assert cli.main(["convert", path, "--to", "torchvision", "-o", output, "--json", str(tmp_path / "c.json")]) == 0
    printed = capsys.readouterr().out
    assert printed.index("coverage") < printed.index("torchvision.models.resnet18(weights=None)")
    assert Certificate.from_json(json.loads((tmp_path / "c.json").read_text())).family == "torchvision"
    assert cli.main(["convert", path, "--to", "hugingface", "-o", output]) == 1
    assert "Did you mean huggingface" in capsys.readouterr().err


@settings(max_examples=25, deadline=None)
@given(
    side=st.integers(1, 3),
    heads=st.integers(1, 3),
    depth=st.integers(1, 3),
    registers=st.integers(0, 2),
    flags=st.fixed_dictionaries({name: st.booleans() for name in ("layer_scale", "final_norm", "qkv_bias")}),
    gated=st.booleans(),
)
@torch.no_grad()
def test_any_small_vit_leaves_for_timm_or_is_refused(
    side: int, heads: int, depth: int, registers: int, flags: dict[str, bool], gated: bool
) -> None:
    options = {"image": [8 * side, 8 * side], "patch": 8, "dim": 8 * heads, "depth": depth, "heads": heads}
    options |= {"registers": registers, **flags} | ({"mlp": "swiglu"} if gated else {})
    backbone, network = small("vit", options)
    export = export_for(LIBRARIES[0], network, Path("out"))
    config = export.files["config.json"]
    network = timm.models.model_entrypoint(config["architecture"])(num_classes=0, **config["model_args"]).eval()
    network.load_state_dict({name: value.load() for name, value in export.tensors.items()}, strict=True)
    x = torch.randn(1, 3, 8 * side, 8 * side, generator=torch.Generator().manual_seed(0))
    assert error(network.forward_features(x), backbone.forward_features(x)) < 1e-4


def test_folding_is_said_and_leaves_the_rest_alone() -> None:
    _, network = small("vit", {**VIT, "registers": 2})
    folded = register_positions_in_tokens(network)
    assert folded.values["pos_embed"].shape == (1, 17, 64) and "register" in folded.notes[0]
    assert class_position_in_token(folded).values["pos_embed"].shape == (1, 16, 64)
    same = network.values.keys() - {"reg_token", "pos_embed"}
    assert all(folded.values[name] is network.values[name] for name in same)
    assert named(network.values, PACKED).keys() == network.values.keys()
