"""RetinaNet and FCOS on backbones of each geometry: where they look, and that two processes are one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor

from tests.openmmlab.processes import in_two_processes
from tests.openmmlab.test_compose import composed
from transfer.backbones.architectures import spec_of
from transfer.openmmlab.averages import StepDataParallel
from transfer.openmmlab.backbone import apply_norm_policies
from transfer.openmmlab.norms import convert_norms
from transfer.openmmlab.stack import quiet
from transfer.schemas.checkpoint import BackboneSpec

BACKBONES = {
    "resnet": spec_of("resnet18"),
    "vit": BackboneSpec("vit", "vit", {"image": [32, 32], "patch": 16, "dim": 64, "depth": 4, "heads": 2}),
    "swin": BackboneSpec(
        "swin", "swin", {"dim": 16, "depths": [1, 1, 1, 1], "heads": [1, 2, 4, 8], "window": 4, "patch": 4}
    ),
}
SIDE = 128
CASES = [(head, backbone) for head in ("retinanet", "fcos") for backbone in BACKBONES]
STEPS = (
    ([[30.0, 40, 70, 80], [8, 8, 60, 28]], [], [[50.0, 60, 120, 125]], [[4.0, 90, 40, 126]] * 2),
    ([[20.0, 20, 80, 90]], [[64.0, 10, 100, 50]], [], []),
    ([], [], [], []),
)
"""Boxes of the four images of three steps: unequal halves, one half without objects, a step without any."""


def detector(head: str, backbone: str) -> Any:
    config = composed(f"{head}/mini", BACKBONES[backbone])
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"), quiet():
        model = apply_norm_policies(MODELS.build(config.model), 1)
        model.init_weights()
    return model


def sample(boxes: Sequence[Sequence[float]]) -> DetDataSample:
    found = DetDataSample(metainfo={"img_shape": (SIDE, SIDE), "pad_shape": (SIDE, SIDE)})
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    found.gt_instances = InstanceData(bboxes=corners, labels=torch.arange(len(boxes)) % 3)
    return found


def images(number: int) -> Tensor:
    return torch.randn(number, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(number))


# Where they look


def positives(model: Any, box: Sequence[float]) -> list[tuple[int, float, float]]:
    """Of each positive of the box: stride of its map, and centre (x, y) of its cell, from the size of the map."""
    with torch.no_grad():
        maps = model.bbox_head(model.extract_feat(images(1)))
    head, instances = model.bbox_head, [sample([box]).gt_instances]
    sizes = [level.shape[-2:] for level in maps[0]]
    if isinstance(head, AnchorHead):
        metas = [{"img_shape": (SIDE, SIDE), "pad_shape": (SIDE, SIDE)}]
        labels = head.get_targets(*head.get_anchors(sizes, metas, device="cpu"), instances, metas)[0]
    else:
        labels = head.get_targets(head.prior_generator.grid_priors(sizes, device="cpu"), instances)[0]
    found = []
    for (height, width), level in zip(sizes, labels, strict=True):
        for cell in (level.reshape(height, width, -1) < head.num_classes).any(-1).nonzero().tolist():
            found.append((SIDE // width, (cell[1] + 0.5) * SIDE / width, (cell[0] + 0.5) * SIDE / height))
    return found


@pytest.mark.parametrize("box", [(34.0, 50, 58, 74), (10.0, 6, 34, 30), (20.0, 20, 84, 84)])
@pytest.mark.parametrize(("head", "backbone"), CASES)
def test_a_positive_lies_within_a_stride_of_the_objects_centre(
    head: str, backbone: str, box: tuple[float, ...]
) -> None:
    left, top, right, bottom = box
    distances = [
        max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2)) / stride
        for stride, x, y in positives(detector(head, backbone), box)
    ]
    assert min(distances) <= 1 and max(distances) <= 2.5


@pytest.mark.parametrize(("head", "backbone"), CASES)
@torch.no_grad()
def test_maps_have_the_strides_that_the_head_believes(head: str, backbone: str) -> None:
    model = detector(head, backbone)
    maps = model.extract_feat(torch.randn(1, 3, 128, 192))
    strides = [stride for stride, _ in model.bbox_head.prior_generator.strides]
    assert strides == [8, 16, 32, 64, 128]
    assert [tuple(m.shape[2:]) for m in maps] == [(-(-128 // stride), -(-192 // stride)) for stride in strides]


# Steps


def trained(head: str, backbone: str, rank: int | None = None) -> dict[str, Any]:
    """Losses and weights after the steps, of a process with half of each or of one with all (`rank` None)."""
    model = detector(head, backbone).train()
    alone, share = rank is None, slice(4) if rank is None else slice(2 * rank, 2 * rank + 2)
    network: Any = model if alone else StepDataParallel(convert_norms(model, "sync"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for step in STEPS:
        optimizer.zero_grad()
        loss, _ = model.parse_losses(network(images(4)[share], [sample(boxes) for boxes in step[share]], mode="loss"))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "weights": model.state_dict()}


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of each process, what it trained of every case."""
    return in_two_processes(lambda rank: [trained(*case, rank) for case in CASES], tmp_path_factory.mktemp("processes"))


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_two_processes_equal_one(case: tuple[str, str], halves: Any) -> None:
    first, second = (half[CASES.index(case)] for half in halves)
    whole = trained(*case)
    mean = [(one + other) / 2 for one, other in zip(first["losses"], second["losses"], strict=True)]
    assert mean == pytest.approx(whole["losses"], rel=1e-4)
    for name, value in whole["weights"].items():
        says = f"{name}: {{}}".format
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-3, atol=1e-5, msg=says)
        torch.testing.assert_close(first["weights"][name], second["weights"][name], rtol=0, atol=0, msg=says)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_backbone_learns(case: tuple[str, str]) -> None:
    before, after = detector(*case), trained(*case)
    assert all(0 < loss < 100 for loss in after["losses"])
    layers = {name for name, p in before.backbone.named_parameters(prefix="backbone") if p.requires_grad and p.ndim > 1}
    assert len(layers) > 10
    assert not {name for name in layers if torch.equal(before.state_dict()[name], after["weights"][name])}
