"""Real COCO images, from a DINO-layout and a MoCo-layout file, for a handful of steps."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from tests.workflows.conftest import transfer
from transfer import cli

pytestmark = [pytest.mark.slow, pytest.mark.real_data]


def dino_file(path: Path) -> None:
    backbone = {f"module.backbone.{k}": v for k, v in resnet18().state_dict().items() if not k.startswith("fc.")}
    head = {"module.head.mlp.0.weight": torch.randn(64, 512), "module.head.mlp.0.bias": torch.zeros(64)}
    branches = {"student": backbone | head, "teacher": dict(backbone | head)}
    loss = {"center": torch.zeros(1, 64)}
    args = argparse.Namespace(arch="resnet18")
    torch.save(branches | {"optimizer": {}, "epoch": 1, "args": args, "dino_loss": loss}, path)


def moco_file(path: Path) -> None:
    query = {f"module.encoder_q.{k}": v for k, v in resnet18(num_classes=128).state_dict().items()}
    key = {name.replace("encoder_q", "encoder_k"): value for name, value in query.items()}
    queue = {"module.queue": torch.randn(128, 256), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    torch.save({"epoch": 1, "arch": "resnet18", "state_dict": query | key | queue, "optimizer": {}}, path)


ROWS = [(dino_file, "dino", ("detection", "pose")), (moco_file, "moco", ("pose",))]


@pytest.mark.parametrize(("layout", "family", "tasks"), ROWS)
def test_a_row_on_real_coco(
    layout, family: str, tasks: tuple[str, ...], shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout(tmp_path / "checkpoint.pth")
    monkeypatch.setenv("TRANSFER_DATA", str(shared_data / "coco_mini"))
    options = ["--iterations", "3", "--images-per-step", "2", "--work-dir", str(tmp_path), "--board", str(tmp_path)]
    options += ["--tasks", ",".join(tasks), "--image-size", "160"]
    assert cli.main(["eval", str(tmp_path / "checkpoint.pth"), "coco", *options]) == 0
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "records").glob("*.json")]
    assert {record["run"]["task"] for record in found} == set(tasks)
    assert all(record["certificate"]["family"] == family for record in found)
    assert all(record["certificate"]["coverage"] == 1.0 for record in found)
    assert all(record["data"]["test"]["images"] > 30 for record in found)
    assert "checkpoint" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_two_processes_equal_one_on_images_of_many_sizes(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(shared_data / "coco_mini"))
    small = ["--iterations", "2", "--images-per-step", "4", "--image-size", "160", "--tasks", "detection"]
    # mmdet averages over the regions of each process: as many in each, if every image yields its full sample
    small += ["--set", "model.train_cfg.rcnn.sampler.num=32", "--set", "model.test_cfg.rpn.max_per_img=10"]
    weights = []
    for processes in ("1", "2"):
        where = ["--work-dir", tmp_path / processes, "--board", tmp_path / processes, "--processes", processes]
        done = transfer("eval", "random:resnet18", "coco", *small, *where)
        assert done.returncode == 0, done.stderr[-3000:]
        (model,) = (tmp_path / processes).glob("*/model.pth")
        weights.append(torch.load(model, weights_only=True)["state_dict"])
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
