"""config.json and preprocessor_config.json are checked and used; without them the usual is taken, with a warning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.checkpoints.genuine import huggingface as genuine
from tests.checkpoints.test_loading import relative_error
from transfer.checkpoints.loading import inspect_checkpoint, load_backbone
from transfer.errors import CheckpointError, UnknownFamily, UnsupportedNetwork, WeightMismatch

LONE = {**genuine.SMALL, "hidden_size": 64, "num_attention_heads": 1, "intermediate_size": 256}


@pytest.fixture(scope="module")
def vit() -> genuine.Saved:
    return genuine.vit("ViTForImageClassification", "vit")


@pytest.fixture(scope="module")
def swin() -> genuine.Saved:
    return genuine.swin("SwinModel")


@pytest.fixture(scope="module")
def resnet() -> genuine.Saved:
    return genuine.convolutional("ResNetModel", **genuine.RESNET)


def changed(file: genuine.Saved, folder: Path, tree: Any = None, **config: Any) -> Path:
    """The folder with another config, or other tensors."""
    said = {**file.files["config.json"], **config}
    path = file.write(folder)
    (folder / "config.json").write_text(json.dumps({key: value for key, value in said.items() if value is not None}))
    if tree is not None:
        torch.save(tree, path)
    return path


@pytest.mark.parametrize(
    ("model", "config", "named"),
    [
        ("vit", {"num_hidden_layers": 5}, "vit.encoder.layer.4.layernorm_before.weight"),
        ("vit", {"num_hidden_layers": 3}, "vit.encoder.layer.3"),
        ("vit", {"hidden_size": 64}, "cls_token"),
        ("vit", {"intermediate_size": 128}, "intermediate.dense.weight"),
        ("vit", {"patch_size": 32}, "patch_embeddings"),
        ("vit", {"image_size": 96}, "position_embeddings"),
        ("vit", {"hidden_act": "relu"}, "hidden_act"),
        ("vit", {"model_type": "swin"}, "model_type"),
        ("vit", {"qkv_bias": False}, "query.bias"),
        ("swin", {"depths": [2, 2, 3, 2]}, "encoder.layers.2.blocks.2"),
        ("swin", {"num_heads": [2, 4, 8, 16]}, "relative_position_bias_table"),
        ("swin", {"window_size": 8}, "relative_position_bias_table"),
        ("swin", {"embed_dim": 32}, "embeddings"),
        ("resnet", {"depths": [1, 1, 3, 1]}, "encoder.stages.2.layers.2"),
        ("resnet", {"embedding_size": 32}, "embedder"),
        ("resnet", {"hidden_sizes": [32, 64, 96, 256]}, "encoder.stages.3"),
        ("resnet", {"layer_type": "basic"}, "layer1.0.conv3"),
        ("resnet", {"downsample_in_first_stage": True}, "downsample_in_first_stage"),
        ("resnet", {"model_type": "regnet"}, "regnet"),
    ],
)
def test_a_config_that_contradicts_the_tensors(
    model: str, config: Mapping[str, Any], named: str, request: Any, tmp_path: Path
) -> None:
    path = changed(request.getfixturevalue(model), tmp_path, **config)
    with pytest.raises((WeightMismatch, UnsupportedNetwork)) as caught:
        inspect_checkpoint(path)
    assert named in str(caught.value)


def test_a_config_of_before_a_key_was_added(vit: genuine.Saved, tmp_path: Path) -> None:
    report = inspect_checkpoint(changed(vit, tmp_path, qkv_bias=None, encoder_stride=None, layer_norm_eps=1e-6))
    assert report.backbone.options["eps"] == 1e-6


@pytest.mark.parametrize(
    ("preprocessor", "mean", "value_range", "source"),
    [
        ({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]}, (0.1, 0.2, 0.3), "0-1", "file"),
        ({"image_mean": [5, 6, 7], "image_std": [1, 1, 1], "do_rescale": False}, (5, 6, 7), "0-255", "file"),
        ({"image_mean": [1, 1, 1], "image_std": [1, 1, 1], "rescale_factor": 2 / 255}, (0.5, 0.5, 0.5), "0-1", "file"),
        ({"do_normalize": False}, (0, 0, 0), "0-1", "file"),
        ({}, (0.5, 0.5, 0.5), "0-1", "family default"),
    ],
)
def test_preprocessing(
    preprocessor: Any, mean: Any, value_range: str, source: str, vit: genuine.Saved, tmp_path: Path
) -> None:
    path = vit.write(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    contract = inspect_checkpoint(path).input
    assert contract.mean == pytest.approx(mean)
    assert (contract.range, contract.source, contract.size, contract.patch) == (value_range, source, (64, 64), 16)


@pytest.mark.parametrize("memory", [False, True])
@torch.no_grad()
def test_a_lone_state_dict_takes_what_is_usual_and_says_so(memory: bool, tmp_path: Path) -> None:
    file = genuine.vit("ViTModel", **LONE)
    torch.save(file.network.state_dict() if memory else file.tree, tmp_path / "vit.bin")
    backbone, report = load_backbone(tmp_path / "vit.bin")
    images = torch.randn(1, 3, 64, 64)
    assert relative_error(backbone.forward_features(images), file.features(images)) < 1e-4
    assert report.backbone.options["eps"] == 1e-12
    assert "no config.json" in report.warnings[0] and "no preprocessor_config.json" in report.warnings[1]


def test_a_lone_clip_has_quick_gelus(tmp_path: Path) -> None:
    torch.save(genuine.clip("CLIPVisionModel", **LONE).tree, tmp_path / "clip.bin")
    assert inspect_checkpoint(tmp_path / "clip.bin").backbone.options["gelu"] == "quick"


def test_a_lone_data2vec_has_no_last_norm(tmp_path: Path) -> None:
    torch.save(genuine.beit("Data2VecVisionModel", use_relative_position_bias=True).tree, tmp_path / "d2v.bin")
    assert inspect_checkpoint(tmp_path / "d2v.bin").backbone.options["final_norm"] is False


def test_pretrained_beit_needs_its_last_norm(tmp_path: Path) -> None:
    file = genuine.masked_beit()
    tree = {name: tensor for name, tensor in file.tree.items() if not name.startswith("layernorm")}
    torch.save(tree, tmp_path / "beit.bin")
    with pytest.raises(WeightMismatch, match=r"norm\.weight"):
        inspect_checkpoint(tmp_path / "beit.bin")


@pytest.mark.parametrize("lost", ["query.weight", "key.weight", "value.bias", "output.dense.weight"])
def test_a_lost_tensor_is_named_as_in_the_file(lost: str, vit: genuine.Saved, tmp_path: Path) -> None:
    name = next(name for name in vit.tree if name.endswith(lost))
    with pytest.raises(WeightMismatch) as caught:
        inspect_checkpoint(changed(vit, tmp_path, {n: t for n, t in vit.tree.items() if n != name}))
    assert name in str(caught.value)


def test_halves_of_two_generations(vit: genuine.Saved, tmp_path: Path) -> None:
    old = {name: tensor for name, tensor in vit.tree.items() if "layer.3" not in name}
    new = {name: tensor for name, tensor in vit.network.state_dict().items() if "layers.3" in name}
    with pytest.raises(CheckpointError, match=r"layers?\.\d"):
        inspect_checkpoint(changed(vit, tmp_path, old | new))


def test_a_foreign_prefix_is_unknown(vit: genuine.Saved, tmp_path: Path) -> None:
    with pytest.raises(UnknownFamily):
        inspect_checkpoint(changed(vit, tmp_path, {f"x{name}": tensor for name, tensor in vit.tree.items()}))
