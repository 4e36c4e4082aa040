"""Checkpoints of several files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as distributed
from safetensors.torch import save_file

from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.checkpoints.reading.containers.distributed import Box, _check_boxes
from transfer.errors import UnreadableCheckpoint

STATE = {f"layer.{i}.weight": torch.full((2, 3), float(i)) for i in range(4)}


def sharded(folder: Path, places: dict[str, str] | None = None) -> Path:
    """Two shards and their index, as `save_pretrained` writes them."""
    names = list(STATE)
    shards = {"model-00001-of-00002.safetensors": names[:2], "model-00002-of-00002.safetensors": names[2:]}
    for shard, kept in shards.items():
        save_file({name: STATE[name] for name in kept}, folder / shard)
    weight_map = {name: shard for shard, kept in shards.items() for name in kept} | (places or {})
    index = {"metadata": {"total_size": 96}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_shards(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    raw = read_checkpoint(sharded(tmp_path))
    assert raw.container == "sharded safetensors" and raw.config == {"model_type": "vit"} and len(raw.files) == 2
    assert list(raw.tree) == list(STATE) and all(torch.equal(raw.tree[name], STATE[name]) for name in STATE)
    assert read_checkpoint(raw.path).tree.keys() == raw.tree.keys()


def test_shards_of_torch(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "pytorch_model-00001-of-00001.bin")
    weight_map = dict.fromkeys(STATE, "pytorch_model-00001-of-00001.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert read_checkpoint(tmp_path).container == "sharded torch zip"


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"layer.0.weight": "../secret.safetensors"}, "leads out of its folder"),
        ({"layer.0.weight": "/etc/passwd"}, "leads out of its folder"),
        ({"layer.0.weight": ""}, "leads out of its folder"),
        ({"layer.0.weight": "x" * 5000}, "leads out of its folder"),
        ({"layer.0.weight": "a\0b"}, "leads out of its folder"),
        ({"layer.0.weight": "model-00003-of-00002.safetensors"}, "lacks the shard model-00003"),
        ({"layer.0.weight": "model-00002-of-00002.safetensors"}, r"lack layer\.0\.weight in model-00002"),
        ({"layer.9.weight": "model-00002-of-00002.safetensors"}, r"lack layer\.9\.weight in model-00002"),
        ({"layer.0.weight": 3}, "weight_map"),
    ],
)
def test_indices_that_do_not_fit(places: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableCheckpoint, match=said):
        read_checkpoint(sharded(tmp_path, places))


def test_a_tensor_that_the_index_does_not_list(tmp_path: Path) -> None:
    sharded(tmp_path)
    save_file({**STATE, "extra": torch.ones(1)}, tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(UnreadableCheckpoint, match="have in addition extra"):
        read_checkpoint(tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_torch_distributed(tmp_path: Path) -> None:
    distributed.save({"model": STATE, "steps": [torch.ones(2), 3], "epoch": 5}, checkpoint_id=tmp_path)
    raw = read_checkpoint(tmp_path)
    assert raw.container == "torch distributed" and [file.name for file in raw.files] == ["__0_0.distcp"]
    assert all(torch.equal(raw.tree["model"][name], STATE[name]) for name in STATE)
    assert raw.tree["epoch"] == 5 and raw.tree["steps"]["1"] == 3
    (tmp_path / "__0_0.distcp").unlink()
    with pytest.raises(UnreadableCheckpoint, match=r"it lacks the file __0_0\.distcp"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "boxes",
    [
        [((0,), (2,))],
        [((0,), (2,)), ((1,), (2,))],
        [((0,), (2,)), ((0,), (2,))],
        [((0,), (2,)), ((3,), (2,))],
        [((-1,), (2,)), ((2,), (2,))],
        [((0, 0), (2, 2))],
    ],
)
def test_chunks_that_do_not_fill_their_tensor(boxes: list[Box]) -> None:
    _check_boxes("weight", (4,), [((2,), (2,)), ((0,), (2,))])
    with pytest.raises(UnreadableCheckpoint, match="weight do not fill"):
        _check_boxes("weight", (4,), boxes)


def test_deepspeed(tmp_path: Path) -> None:
    folder = tmp_path / "global_step10"
    folder.mkdir()
    (tmp_path / "latest").write_text("global_step10")
    torch.save({"module": STATE, "dp_world_size": 1}, folder / "mp_rank_00_model_states.pt")
    torch.save({"optimizer_state_dict": {}}, folder / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    assert set(read_checkpoint(tmp_path).tree["module"]) == set(STATE)


def test_lightning(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "pytorch-lightning_version": "2.0"}, tmp_path / "last.ckpt")
    assert set(read_checkpoint(tmp_path).tree["state_dict"]) == set(STATE)
