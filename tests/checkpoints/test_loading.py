from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.backbones.building import build_backbone
from transfer.checkpoints.identification.filling import Choice
from transfer.checkpoints.loading import (
    convert_checkpoint,
    fill_backbone,
    inspect_checkpoint,
    load_backbone,
    load_converted,
    read_certificate,
)
from transfer.errors import UnknownName, UnreadableCheckpoint, WeightMismatch
from transfer.schemas.checkpoint import Certificate

TOLERANCE = 1e-4


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> float:
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def test_same_features_as_the_original_network(layout: Any, tmp_path: Path) -> None:
    backbone, report = load_backbone(layout.write(tmp_path), **(layout.options or {}))
    assert report.family == layout.family
    assert report.coverage == 1 or report.initialised
    draw = torch.Generator().manual_seed(1)
    for size in layout.sizes:
        images = torch.randn(2, 3, *size, generator=draw)
        maps, expected = backbone(images), layout.levels(images)
        assert max(map(relative_error, maps, expected)) < TOLERANCE
        assert relative_error(backbone.forward_features(images), layout.features(images)) < TOLERANCE
        for level, features in zip(backbone.levels, maps, strict=True):
            assert features.shape[1:] == (
                level.channels,
                *(-(-(side + layout.border) // level.stride) for side in size),
            )


def test_certificates(layout: Any, tmp_path: Path) -> None:
    report = inspect_checkpoint(layout.write(tmp_path), Choice(**(layout.options or {})))
    assert report == Certificate.from_json(json.loads(json.dumps(report.to_json())))
    assert all(report.dropped.values()) and all(report.initialised.values())
    weights = [name for name in report.initialised if not name.endswith("num_batches_tracked")]
    assert (report.coverage < 1) == bool(weights)


def test_converting_is_loading(layouts: Any, tmp_path: Path) -> None:
    path, output = layouts["dino: full vit"]().write(tmp_path), tmp_path / "backbone.safetensors"
    certificate = convert_checkpoint(path, output)
    loaded, report = load_backbone(path)
    converted = load_converted(output)
    assert report == certificate == read_certificate(output)
    assert not loaded.training and not converted.training
    state = converted.network.state_dict()
    assert list(state) == list(loaded.network.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in loaded.network.state_dict().items())


def test_certificate_of_old_torchvision_files_lists_the_counters(layouts: Any, tmp_path: Path) -> None:
    report = inspect_checkpoint(layouts["torchvision: without batch counters"]().write(tmp_path))
    assert "bn1.num_batches_tracked" in report.initialised
    assert all(name.endswith("num_batches_tracked") for name in report.initialised)


def test_contracts(layouts: Any, tmp_path: Path) -> None:
    genuine = {name: layouts[name]() for name in ("fdsl: own rcdb", "fdsl: fractaldb raw", "fdsl: fractaldb vit",
               "dino: full vit", "timm: vit", "timm: distilled", "torchvision: swin")}  # fmt: skip
    contracts = {
        name: inspect_checkpoint(file.write(tmp_path), Choice(**(file.options or {}))).input
        for name, file in genuine.items()
    }
    own = contracts["fdsl: own rcdb"]
    assert (own.mean, own.std, own.source) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "file")
    assert contracts["fdsl: fractaldb raw"].mean == (0.2, 0.2, 0.2)
    assert contracts["fdsl: fractaldb raw"].std == contracts["fdsl: fractaldb vit"].mean == (0.5, 0.5, 0.5)
    assert (contracts["dino: full vit"].size, contracts["dino: full vit"].patch) == ((64, 64), 16)
    assert contracts["timm: vit"].mean == (0.5, 0.5, 0.5)
    assert contracts["timm: distilled"].mean == contracts["dino: full vit"].mean == (0.485, 0.456, 0.406)
    assert contracts["torchvision: swin"].size is None


def test_config_beside_the_weights_is_the_contract(layouts: Any, tmp_path: Path) -> None:
    layouts["timm: safetensors"]().write(tmp_path).rename(tmp_path / "model.safetensors")
    config = {"architecture": "unnamed", "pretrained_cfg": {"mean": [0.1, 0.1, 0.1], "std": [0.9, 0.9, 0.9]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = inspect_checkpoint(tmp_path)
    assert report.input.std == (0.9, 0.9, 0.9) and report.input.source == "file"


def test_shared_names_carry_a_warning(layouts: Any, tmp_path: Path) -> None:
    assert "--family fdsl" in " ".join(inspect_checkpoint(layouts["torchvision: resnet18"]().write(tmp_path)).warnings)
    bare = inspect_checkpoint(layouts["dino: vit backbone"]().write(tmp_path))
    assert "--family timm" in " ".join(bare.warnings)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_cast_with_a_note(dtype: torch.dtype, layouts: Any, tmp_path: Path) -> None:
    genuine = layouts["timm: vit"]()
    torch.save({name: tensor.to(dtype) for name, tensor in genuine.tree.items()}, tmp_path / "cast.pth")
    backbone, report = load_backbone(tmp_path / "cast.pth")
    assert any(str(dtype).removeprefix("torch.") in warning for warning in report.warnings)
    assert all(p.dtype == torch.float32 for p in backbone.parameters())


def test_an_empty_decoy_is_passed_over_with_a_warning(layouts: Any, tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "model": layouts["timm: vit"]().tree}, tmp_path / "decoy.pth")
    report = inspect_checkpoint(tmp_path / "decoy.pth")
    assert report.coverage == 1 and any("`state_dict` is empty" in warning for warning in report.warnings)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_wrappers_of_all_names_are_stripped(prefix: str, layouts: Any, tmp_path: Path) -> None:
    tree = layouts["timm: vit"]().tree
    torch.save({prefix + name: tensor for name, tensor in tree.items()}, tmp_path / "wrapped.pth")
    assert inspect_checkpoint(tmp_path / "wrapped.pth").coverage == 1


def test_unknown_copies_are_named(layouts: Any, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="teacher"):
        load_backbone(layouts["dino: full vit"]().write(tmp_path), which="teachr")


def test_filling_is_strict(layouts: Any, tmp_path: Path) -> None:
    convert_checkpoint(layouts["timm: vit"]().write(tmp_path), tmp_path / "vit.safetensors")
    convert_checkpoint(layouts["torchvision: resnet18"]().write(tmp_path), tmp_path / "resnet.safetensors")
    backbone = build_backbone(read_certificate(tmp_path / "vit.safetensors").backbone)
    fill_backbone(backbone, tmp_path / "vit.safetensors")
    with pytest.raises(WeightMismatch, match="unfilled"):
        fill_backbone(backbone, tmp_path / "resnet.safetensors")


def test_only_converted_files_fill(layouts: Any, tmp_path: Path) -> None:
    path = layouts["timm: safetensors"]().write(tmp_path)
    with pytest.raises(UnreadableCheckpoint, match="transfer convert"):
        load_converted(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UnreadableCheckpoint, match="cannot be read"):
        load_converted(path)
    with pytest.raises(UnreadableCheckpoint, match="cannot be read"):
        load_converted(tmp_path / "absent.safetensors")


def test_nothing_is_written_when_the_weights_do_not_match(layouts: Any, tmp_path: Path) -> None:
    tree = layouts["timm: vit"]().tree
    del tree["blocks.1.norm1.weight"]
    torch.save(tree, tmp_path / "damaged.pth")
    with pytest.raises(WeightMismatch):
        convert_checkpoint(tmp_path / "damaged.pth", tmp_path / "out" / "backbone.safetensors")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
