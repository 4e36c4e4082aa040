"""DeepLab-ASPP-L against its description in Sun et al. (ICCV 2017): after conv5 of a ResNet-101 whose last map has
stride 8, four parallel 3x3 atrous convolutions of rates 6, 12, 18 and 24 to 21 class scores each, summed; 513x513."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmseg.structures import SegDataSample
from torch import nn

from tests.openmmlab.head_configs import head_config
from tests.openmmlab.test_compose import composed
from transfer.backbones.architectures import spec_of
from transfer.backbones.building import build_backbone, outline_of
from transfer.openmmlab.stack import quiet

RATES = (6, 12, 18, 24)
VOC_CLASSES, CONV5 = 21, 2048


def head(channels: int = CONV5, classes: int = VOC_CLASSES, **options: Any) -> Any:
    head = head_config("deeplab_aspp_l/full").model.decode_head
    with DefaultScope.overwrite_default_scope("mmseg"), quiet():
        return MODELS.build(ConfigDict(head, in_channels=channels, num_classes=classes, **options))


def test_four_branches_of_classifiers_and_nothing_else() -> None:
    built = head()
    branches = list(built.branches)
    assert [type(layer) for layer in branches] == [nn.Conv2d] * 4
    assert [layer.dilation for layer in branches] == [(rate, rate) for rate in RATES]
    assert [layer.kernel_size for layer in branches] == [(3, 3)] * 4
    assert [layer.weight.shape for layer in branches] == [(VOC_CLASSES, CONV5, 3, 3)] * 4
    assert {name.split(".")[0] for name, _ in built.named_parameters()} == {"branches"}
    assert sum(parameter.numel() for parameter in built.parameters()) == 4 * (21 * 2048 * 9 + 21) == 1_548_372
    assert not [layer for layer in built.modules() if isinstance(layer, nn.Dropout2d | nn.BatchNorm2d)]


def test_the_backbone_of_the_paper() -> None:
    """ResNet-101 at stride 8: conv5's 2048 channels on 65x65 cells of a 513x513 crop, no weight more than at 32."""
    network = outline_of(spec_of("resnet101"), output_stride=8)
    assert [(level.stride, level.channels) for level in network.levels] == [(4, 256), (8, 512), (8, 1024), (8, 2048)]
    with torch.device("meta"):
        maps = network(torch.empty(1, 3, 513, 513))
    assert [tuple(level.shape[1:]) for level in maps] == [
        (256, 129, 129),
        (512, 65, 65),
        (1024, 65, 65),
        (2048, 65, 65),
    ]
    convolutions = sum(p.numel() for name, p in network.network.named_parameters() if "bn" not in name)
    assert network.network.layer3[1].conv2.dilation == (2, 2) and network.network.layer4[1].conv2.dilation == (4, 4)
    assert convolutions == sum(p.numel() for name, p in outline_of(spec_of("resnet101")).network.named_parameters()
                               if "bn" not in name)  # fmt: skip


@torch.no_grad()
def test_branches_are_summed_with_zero_padding() -> None:
    built, features = head(8, 3), torch.randn(2, 8, 65, 65)
    parts = [nn.functional.conv2d(features, b.weight, b.bias, padding=r, dilation=r)
             for b, r in zip(built.branches, RATES, strict=True)]  # fmt: skip
    torch.testing.assert_close(built((torch.zeros(0), features)), parts[0] + parts[1] + parts[2] + parts[3])


def test_a_cell_looks_at_itself_and_at_eight_neighbours_at_each_rate() -> None:
    built, features = head(1, 2), torch.zeros(1, 1, 65, 65, requires_grad=True)
    built((features,))[0, 0, 32, 32].backward()
    assert features.grad is not None
    seen = {(int(y) - 32, int(x) - 32) for _, _, y, x in features.grad.nonzero()}
    assert seen == {(a * rate, b * rate) for rate in RATES for a in (-1, 0, 1) for b in (-1, 0, 1)}
    assert len(seen) == 33 and max(8 * dy for dy, _ in seen) == 192  # pixels from the cell to the farthest tap


@torch.no_grad()
def test_cells_lie_at_every_eighth_pixel() -> None:
    """A linear ramp of scores over the cells is the same ramp over the pixels: nothing is shifted by upsampling."""
    built = head(8, 3)
    ramp = 8.0 * torch.arange(65).expand(1, 3, 65, 65)
    image = {"img_shape": (513, 513), "pad_shape": (513, 513)}
    scores = built.predict_by_feat(ramp, [image])
    torch.testing.assert_close(scores[0, 0, 0], torch.arange(513.0), rtol=0, atol=1e-3)


@torch.no_grad()
def test_a_cell_is_centred_on_its_pixel() -> None:
    """Mirrored images give mirrored maps on a grid of 8 n + 1 pixels if, and only if, cell i lies at pixel 8 i."""
    torch.manual_seed(0)
    network = build_backbone(spec_of("resnet18"), output_stride=8).eval().double()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # symmetric kernels: what is left over is the geometry
            layer.weight.copy_((layer.weight + layer.weight.flip(-1)) / 2)
    images = torch.randn(1, 3, 65, 65, dtype=torch.float64)
    torch.testing.assert_close(network(images.flip(-1))[-1], network(images)[-1].flip(-1))


def test_the_schedule_of_the_paper() -> None:
    config = head_config("deeplab_aspp_l/full")
    optimizer, (poly,) = config.optim_wrapper.optimizer, config.param_scheduler
    assert (config.train_cfg.max_iters, config.task.images_per_step) == (30_000, 6)
    assert tuple(config.model.data_preprocessor.size) == (513, 513)
    assert (optimizer.type, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("SGD", 1e-3, 0.9, 5e-4)
    assert (poly.type, poly.end, poly.eta_min) == ("PolyLR", 30_000, 0.0)
    assert tuple(config.model.decode_head.dilations) == RATES
    assert config.model.backbone.output_stride == 8


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (500, 500)])
@torch.no_grad()
def test_images_of_every_shape_are_tested_inside_one_crop(size: tuple[int, int]) -> None:
    with DefaultScope.overwrite_default_scope("mmseg"):
        preprocessor = MODELS.build(composed("deeplab_aspp_l/full").model.data_preprocessor)
        inputs = {"inputs": [torch.zeros(3, *size, dtype=torch.uint8)], "data_samples": [SegDataSample()]}
        assert preprocessor(inputs)["inputs"].shape == (1, 3, 513, 513)
