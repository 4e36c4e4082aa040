from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from tests.openmmlab.head_configs import SIZED, head_config
from transfer.backbones.architectures import spec_of
from transfer.backbones.building import levels_of
from transfer.datasets.layouts import Split
from transfer.errors import BadOption, UnknownName
from transfer.openmmlab.compose import compose, for_processes
from transfer.openmmlab.tasks.task_type import Classes
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, InputContract

CLASSES = Classes(("ball", "box", "person"), (3, 5, 9))
SPLIT = Split(Path("images"), Path("annotations"))
IMAGENET = InputContract(IMAGENET_MEAN, IMAGENET_STD)
ARCHITECTURES = ("resnet18", "resnet50", "resnet18_cifar", "resnet50_clip", "resnetv2_50x1_bit", "wide_resnet28_2",
                 "convnext_tiny", "vit_small_patch16_224", "swin_tiny_patch4_window7_224")  # fmt: skip
STRIDE_8 = tuple(name for name in SIZED if name.startswith(("deeplab_aspp_l", "fcn_d8", "grmi")))
CANNOT_DILATE = ("wide_resnet28_2", "vit_small_patch16_224", "swin_tiny_patch4_window7_224")
SLIM = BackboneSpec("resnet", "resnet50", {**spec_of("resnet50").options, "stride_in": "last_unit"})


def composed(
    head: str, arch: str | BackboneSpec = "resnet18", contract: InputContract = IMAGENET, **overrides: Any
) -> Any:
    return compose(
        head_config(head, **overrides),
        backbone=spec_of(arch) if isinstance(arch, str) else arch,
        contract=contract,
        weights=None,
        train=SPLIT,
        test=SPLIT,
        classes=CLASSES,
        seed=0,
    )


C4 = [head for head in SIZED if "_c4/" in head]
CANNOT_SPLIT = (*CANNOT_DILATE, "resnet18_cifar")


def shallow(arch: str) -> BackboneSpec:
    """A network of few blocks by the name of a deep one: composing asks for strides and channels."""
    spec = spec_of(arch)
    few = {"depths": [1, 1, 1, 1], "depth": 4, "units": 1}
    return BackboneSpec(spec.kind, arch, {key: few.get(key, value) for key, value in spec.options.items()})


def sensible(head: str, arch: str) -> bool:
    return not (head in STRIDE_8 and arch in CANNOT_DILATE) and not (head in C4 and arch in CANNOT_SPLIT)


@pytest.mark.parametrize(("head", "arch"), list(product(C4, CANNOT_SPLIT)))
def test_c4_refuses_backbones_without_conv5_and_names_what_does(head: str, arch: str) -> None:
    with pytest.raises(BadOption, match=rf"'{arch}' has none .*resnet, resnetv2, convnext.*\*_rcnn_fpn"):
        composed(head, shallow(arch))


@pytest.mark.parametrize(("head", "arch"), [p for p in product(SIZED, ARCHITECTURES) if sensible(*p)])
def test_every_head_composes_with_every_kind_of_backbone_that_it_can_stand_on(head: str, arch: str) -> None:
    config = composed(head, shallow(arch))
    assert config.model.backbone.spec["arch"] == arch
    assert config.model.data_preprocessor.mean == pytest.approx([123.675, 116.28, 103.53])
    assert config.train_dataloader.dataset.positions == config.train_cfg.max_iters * config.task.images_per_step


@pytest.mark.parametrize(("head", "arch"), list(product(STRIDE_8, CANNOT_DILATE)))
def test_heads_of_stride_8_refuse_backbones_that_cannot_dilate_and_name_what_does(head: str, arch: str) -> None:
    others = "pose_heatmap" if head.startswith("grmi") else "linear_segmentation and upernet"
    with pytest.raises(BadOption, match=rf"'{arch}' has (4|16|32) .* resnet, resnetv2, convnext.*{others}"):
        composed(head, shallow(arch))


def test_small_patches_have_stride_8_without_dilation() -> None:
    vit = spec_of("vit_small_patch16_224")
    small = BackboneSpec("vit", "vit_small_patch8_224", {**vit.options, "patch": 8})
    assert composed("fcn_d8/full", small).model.decode_head.in_channels == 384
    model = composed("deeplab_aspp_l/full", small).model
    assert model.data_preprocessor.test_cfg == {"size": (520, 520)} and not model.decode_head.align_corners


@pytest.mark.parametrize(("arch", "levels"), [("resnet50", 4), ("swin_tiny_patch4_window7_224", 4),
                                              ("wide_resnet28_2", 3), ("vit_small_patch16_224", 4)])  # fmt: skip
def test_upernet_takes_every_level(arch: str, levels: int) -> None:
    model = composed("upernet/full", arch).model
    assert model.decode_head.in_index == list(range(levels)) and len(model.decode_head.in_channels) == levels
    assert ("neck" in model) == arch.startswith("vit")


def test_the_contract_reaches_the_preprocessor() -> None:
    contract = InputContract((102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0), "0-255", "BGR")
    preprocessor = composed("faster_rcnn_fpn/mini", contract=contract).model.data_preprocessor
    assert preprocessor.mean == pytest.approx([102.9801, 115.9465, 122.7717])
    assert preprocessor.std == [1.0, 1.0, 1.0]
    assert preprocessor.bgr_to_rgb is False
    assert composed("faster_rcnn_fpn/mini").model.data_preprocessor.bgr_to_rgb is True


def test_a_patch_widens_the_padding() -> None:
    vit = spec_of("vit_small_patch16_224")
    wide = BackboneSpec("vit", "vit_small_patch14_224", {**vit.options, "patch": 14})
    assert composed("faster_rcnn_fpn/full", wide).model.data_preprocessor.pad_size_divisor == 224
    size = composed("deeplab_aspp/full", wide).model.data_preprocessor.size
    assert all(side % 14 == 0 and side >= 513 for side in size)
    with pytest.raises(BadOption, match="pose crops of 192x256"):
        composed("pose_heatmap/full", wide)


def test_plain_vits_get_a_simple_feature_pyramid() -> None:
    neck = composed("faster_rcnn_fpn/full", "vit_small_patch16_224").model.neck
    assert (neck.type, neck.in_channels, neck.stride, neck.out_channels) == ("SimpleFeaturePyramid", 384, 16, 256)


@pytest.mark.parametrize(("arch", "stride"), [("wide_resnet28_2", 4), ("resnet18_cifar", 8)])
def test_backbones_for_small_images_get_a_simple_feature_pyramid(arch: str, stride: int) -> None:
    neck = composed("faster_rcnn_fpn/full", arch).model.neck
    assert (neck.type, neck.stride) == ("SimpleFeaturePyramid", stride)


@pytest.mark.parametrize(
    ("arch", "window"), [("vit_small_patch16_224", 14), ("swin_tiny_patch4_window7_224", None), ("resnet50", None)]
)
def test_windows_are_for_plain_vits(arch: str, window: int | None) -> None:
    assert composed("mask_rcnn_vitdet/full", arch).model.backbone.get("window") == window


def test_windows_refuse_relative_positions_and_say_what_does_without() -> None:
    options = {"image": [224, 224], "patch": 16, "dim": 64, "depth": 4, "heads": 2}
    beit = BackboneSpec("beit", "small", options)
    with pytest.raises(BadOption, match=r"'small' is a beit.*--set model.backbone.window=0"):
        composed("mask_rcnn_vitdet/full", beit)
    assert composed("mask_rcnn_vitdet/full", beit, **{"model.backbone.window": 0}).model.neck.in_channels == 64


def test_pyramids_on_tf_slim_begin_before_its_strides() -> None:
    detector, segmenter = composed("faster_rcnn_fpn/full", SLIM).model, composed("deeplab_aspp/full", SLIM).model
    assert detector.neck.type == "FPN"
    assert levels_of(BackboneSpec.from_json(detector.backbone.spec))[0].stride == 4
    assert segmenter.backbone.spec == SLIM.to_json()
    assert composed("upernet/full", SLIM).model.backbone.spec == detector.backbone.spec


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_convolutional_backbones_dilate(arch: str) -> None:
    convolutional = "patch" not in arch and "wide" not in arch
    assert ("output_stride" in composed("deeplab_aspp/mini", arch).model.backbone) == convolutional


@pytest.mark.parametrize(
    ("arch", "deconvolutions"),
    [("resnet18", 3), ("vit_small_patch16_224", 2), ("resnet18_cifar", 1), ("wide_resnet28_2", 0)],
)
def test_heatmaps_have_stride_four(arch: str, deconvolutions: int) -> None:
    head = composed("pose_heatmap/full", arch).model.head
    assert len(head.deconv_out_channels) == deconvolutions


def test_iterations_scale_the_whole_schedule() -> None:
    config = composed("faster_rcnn_fpn/full", iterations=90)
    (steps,) = config.param_scheduler
    assert (config.train_cfg.max_iters, steps.begin, steps.end, list(steps.milestones)) == (90, 0, 90, [60, 80])
    warmup, _ = composed("faster_rcnn_fpn/full", iterations=900).param_scheduler
    assert (warmup.type, warmup.end) == ("LinearLR", 5)


@pytest.mark.parametrize("head", SIZED)
@pytest.mark.parametrize("iterations", [1, 2, 3, 17, 100])
def test_a_short_run_reaches_the_full_learning_rate(head: str, iterations: int) -> None:
    config = composed(head, iterations=iterations)
    weight = torch.nn.Parameter(torch.zeros(1))
    full = config.optim_wrapper.optimizer.lr
    optimizer = torch.optim.SGD([weight], lr=full)
    schedulers = [PARAM_SCHEDULERS.build({**s, "optimizer": optimizer}) for s in config.param_scheduler]
    rates = []
    for _ in range(iterations):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert max(rates) == pytest.approx(full, rel=0.35)


def test_image_size_scales_crops_and_images() -> None:
    crops = composed("deeplab_aspp/full", image_size=129)
    assert tuple(crops.model.data_preprocessor.size) == (129, 129)
    tested = composed("deeplab_aspp_l/full", image_size=129)
    assert tested.model.data_preprocessor.test_cfg == {"size": (129, 129)}
    images = composed("faster_rcnn_fpn/full", image_size=333)
    scales = [step.scale for step in images.test_dataloader.dataset.dataset.pipeline if "scale" in step]
    assert [tuple(scale) for scale in scales] == [(333, 200)]
    scales = composed("mask_rcnn_swin/full", image_size=333).train_dataloader.dataset.dataset.pipeline[3].transforms
    assert scales[0][0].scales[-1] == (333, 200) and scales[1][1].crop_size == (96, 150)
    assert composed("pose_heatmap/mini", image_size=64).model == composed("pose_heatmap/mini").model


@pytest.mark.parametrize("option", ["iterations", "images_per_step", "image_size"])
@pytest.mark.parametrize("value", [0, -1, "many"])
def test_counts_are_positive(option: str, value: Any) -> None:
    with pytest.raises(BadOption, match="whole number from 1 on"):
        composed("faster_rcnn_fpn/mini", **{option: value})


def test_a_mistyped_key_is_refused() -> None:
    with pytest.raises(BadOption, match=r"has no 'learning_rate' there\. Available: .*lr"):
        composed("faster_rcnn_fpn/mini", **{"optim_wrapper.optimizer.learning_rate": 1})
    assert composed("faster_rcnn_fpn/mini", **{"optim_wrapper.optimizer.lr": 1}).optim_wrapper.optimizer.lr == 1


def test_the_config_does_not_know_the_world_size() -> None:
    config = composed("faster_rcnn_fpn/mini")
    assert for_processes(config, 4).train_dataloader.batch_size == 2
    assert "batch_size" not in config.train_dataloader
    with pytest.raises(BadOption, match="does not divide"):
        for_processes(config, 3)


@pytest.mark.parametrize("key", ["train_cfg.max_iters.deeper", "nothing", "param_scheduler.7.end"])
def test_keys_must_lead_somewhere(key: str) -> None:
    with pytest.raises(BadOption, match="the head's config has no"):
        composed("faster_rcnn_fpn/mini", **{key: 1})


@pytest.mark.parametrize("head", SIZED)
def test_what_of_the_backbone_is_tuned_is_one_option(head: str) -> None:
    for trunk, frozen in (("full", -1), ("before-conv5", "all_but_last"), ("frozen", "all")):
        assert composed(head, trunk=trunk).model.backbone.frozen_stages == frozen
    with pytest.raises(UnknownName, match="Available: before-conv5, frozen, full"):
        composed(head, trunk="conv5")


@pytest.mark.parametrize("head", SIZED)
def test_the_norm_policy_is_one_option(head: str) -> None:
    for policy in ("sync", "eval", "frozen"):
        assert composed(head, norm=policy).model.backbone.norm == policy
    with pytest.raises(UnknownName, match="Did you mean frozen"):
        composed(head, norm="frozn")
