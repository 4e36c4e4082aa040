from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transfer.backbones.architectures import spec_of
from transfer.datasets.layouts import Split
from transfer.errors import BadOption
from transfer.openmmlab.compose import Classes, compose, for_processes, load_recipe
from transfer.spec.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract
from transfer.spec.places import recipe_names, recipe_path

CLASSES = Classes(("ball", "box", "person"), (3, 5, 9))
SPLIT = Split(Path("images"), Path("annotations"))
IMAGENET = InputContract(IMAGENET_MEAN, IMAGENET_STD)
ARCHITECTURES = ("resnet18", "resnet50", "vit_small_patch16_224", "swin_tiny_patch4_window7_224")


def composed(recipe: str, arch: str = "resnet18", contract: InputContract = IMAGENET, **overrides: Any) -> Any:
    return compose(
        load_recipe(recipe_path(recipe), overrides),
        backbone=spec_of(arch),
        contract=contract,
        weights=None,
        train=SPLIT,
        test=SPLIT,
        classes=CLASSES,
        seed=0,
    )


@pytest.mark.parametrize("recipe", recipe_names())
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_recipe_composes_with_every_kind_of_trunk(recipe: str, arch: str) -> None:
    config = composed(recipe, arch)
    assert config.model.backbone.spec["arch"] == arch
    assert config.model.data_preprocessor.mean == pytest.approx([123.675, 116.28, 103.53])
    assert config.train_dataloader.dataset.positions == config.train_cfg.max_iters * config.task.images_per_step


def test_the_contract_reaches_the_preprocessor() -> None:
    contract = InputContract((102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0), "0-255", "BGR")
    preprocessor = composed("faster_rcnn_fpn_mini", contract=contract).model.data_preprocessor
    assert preprocessor.mean == pytest.approx([102.9801, 115.9465, 122.7717])
    assert preprocessor.std == [1.0, 1.0, 1.0]
    assert preprocessor.bgr_to_rgb is False
    assert composed("faster_rcnn_fpn_mini").model.data_preprocessor.bgr_to_rgb is True


def test_a_patch_widens_the_padding() -> None:
    contract = InputContract(IMAGENET_MEAN, IMAGENET_STD, patch=14)
    assert composed("faster_rcnn_fpn_coco", contract=contract).model.data_preprocessor.pad_size_divisor == 224
    size = composed("deeplab_aspp_voc", contract=contract).model.data_preprocessor.size
    assert all(side % 14 == 0 and side >= 513 for side in size)


def test_plain_vits_get_a_simple_feature_pyramid() -> None:
    neck = composed("faster_rcnn_fpn_coco", "vit_small_patch16_224").model.neck
    assert (neck.type, neck.in_channels, neck.stride, neck.out_channels) == ("SimpleFeaturePyramid", 384, 16, 256)


@pytest.mark.parametrize(("arch", "deconvolutions"), [("resnet18", 3), ("vit_small_patch16_224", 2)])
def test_heatmaps_have_stride_four(arch: str, deconvolutions: int) -> None:
    head = composed("pose_heatmap_coco", arch).model.head
    assert len(head.deconv_out_channels) == deconvolutions


def test_iterations_scale_the_whole_schedule() -> None:
    config = composed("faster_rcnn_fpn_coco", iterations=90)
    warmup, steps = config.param_scheduler
    assert (config.train_cfg.max_iters, warmup.end, steps.end, list(steps.milestones)) == (90, 1, 90, [60, 80])


def test_image_size_scales_crops_and_images() -> None:
    crops = composed("deeplab_aspp_voc", image_size=129)
    assert tuple(crops.model.data_preprocessor.size) == (129, 129)
    images = composed("faster_rcnn_fpn_coco", image_size=333)
    scales = [step.scale for step in images.test_dataloader.dataset.dataset.pipeline if "scale" in step]
    assert [tuple(scale) for scale in scales] == [(333, 200)]
    with pytest.raises(BadOption, match="pose"):
        composed("pose_heatmap_mini", image_size=64)


def test_a_mistyped_key_is_refused() -> None:
    with pytest.raises(BadOption, match=r"has no 'learning_rate' there\. Available: .*lr"):
        composed("faster_rcnn_fpn_mini", **{"optim_wrapper.optimizer.learning_rate": 1})
    assert composed("faster_rcnn_fpn_mini", **{"optim_wrapper.optimizer.lr": 1}).optim_wrapper.optimizer.lr == 1


def test_the_recipe_does_not_know_the_world_size() -> None:
    config = composed("faster_rcnn_fpn_mini")
    assert for_processes(config, 4).train_dataloader.batch_size == 2
    assert "batch_size" not in config.train_dataloader
    with pytest.raises(BadOption, match="does not divide"):
        for_processes(config, 3)
