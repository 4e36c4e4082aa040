"""Networks whose batch norms counted photographs under a known contract: the probe must find it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from transfer.checkpoints.certificate.images import natural_images
from transfer.checkpoints.certificate.probe import RIVALS, judge, prepared
from transfer.checkpoints.loading import load_backbone
from transfer.schemas.checkpoint import InputContract

IMAGENET = RIVALS["ImageNet mean and std"]


def counted(images: Tensor, contract: InputContract) -> Any:
    """A ResNet-18 with random kernels whose batch norms have seen `images` under `contract`."""
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # plain averages
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        network.train()(prepared(images, contract))
    return network.eval()


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> Tensor:
    files = sorted((shared_data / "coco_mini").rglob("*.jpg"))[:64]
    arrays = [np.array(Image.open(file).convert("RGB").resize((128, 96))) for file in files]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255


def same_up_to_order(one: InputContract, other: InputContract) -> bool:
    return one.range == other.range and sorted(one.std) == sorted(other.std)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["ImageNet mean and std", "[-1, 1]", "[0, 255] BGR less the mean"])
def test_the_contract_of_training_is_found_on_photographs(name: str, photographs: Tensor) -> None:
    network = counted(photographs, RIVALS[name])
    right = judge(network, RIVALS[name])
    assert right.text.startswith("agrees") and not right.wrong
    for rival in RIVALS.values():
        if not same_up_to_order(rival, RIVALS[name]):
            wrong = judge(network, rival)
            assert wrong.wrong and "looks wrong" in wrong.text


def test_a_wrong_contract_reaches_the_certificate(tmp_path: Path) -> None:
    network = counted(natural_images(32, 96, seed=7), RIVALS["[0, 1]"])
    torch.save(network.state_dict(), tmp_path / "file.pth")
    _, certificate = load_backbone(tmp_path / "file.pth")
    assert any("[0, 1] fits better" in warning for warning in certificate.warnings)
    assert certificate.confidence.startswith("low")


@pytest.mark.parametrize("name", ["layer2.0.conv2.weight", "layer3.1.conv1.weight", "layer4.1.conv2.weight"])
def test_a_transposed_kernel_is_named(name: str) -> None:
    network = counted(natural_images(48, 96, seed=7), IMAGENET)
    assert not judge(network, IMAGENET).wrong
    kernel = network.get_parameter(name)
    kernel.data = kernel.data.transpose(0, 1).contiguous()
    verdict = judge(network, IMAGENET)
    assert verdict.wrong and name.replace("conv", "bn").removesuffix(".weight") in verdict.text


def test_random_statistics_tell_nothing() -> None:
    network = timm.create_model("resnet18", num_classes=0).eval()
    assert "counted no images" in judge(network, IMAGENET).text
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 1)
    verdict = judge(network, IMAGENET)
    assert verdict.text.startswith("cannot tell") and not verdict.wrong


def test_a_backbone_without_batch_norms_tells_nothing() -> None:
    assert "no batch normalisation" in judge(nn.Sequential(nn.Conv2d(3, 8, 3)), IMAGENET).text


def test_images_have_the_statistics_of_photographs() -> None:
    images = natural_images(32, 96)
    assert images.shape == (32, 3, 96, 96) and images.min() >= 0 and images.max() <= 1
    assert torch.equal(images, natural_images(32, 96))
    assert (images.mean((0, 2, 3)) - torch.tensor(IMAGENET.mean)).abs().max() < 0.05
    assert (images.std((0, 2, 3)) - torch.tensor(IMAGENET.std)).abs().max() < 0.05
