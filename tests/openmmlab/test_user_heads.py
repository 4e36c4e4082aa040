"""Heads as their users write them: mmdet's, mmseg's and mmpose's configs, with bases of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from tests.openmmlab.head_configs import head_config
from tests.openmmlab.test_compose import CLASSES, IMAGENET, SPLIT
from transfer.backbones.architectures import spec_of
from transfer.errors import BadOption
from transfer.openmmlab.compose import compose
from transfer.openmmlab.overrides import override
from transfer.openmmlab.stack import quiet
from transfer.openmmlab.user_heads import UserHead

RETINANET = """
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[1, 2, 3], std=[1, 1, 1], bgr_to_rgb=True,
                           pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                  init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=32, start_level=1,
              add_extra_convs='on_output', num_outs=5),
    bbox_head=dict(
        type='RetinaHead', num_classes=80, in_channels=32, stacked_convs=1, feat_channels=32,
        anchor_generator=dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=3,
                              ratios=[0.5, 1.0, 2.0], strides=[8, 16, 32, 64, 128]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    train_cfg=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
                   sampler=dict(type='PseudoSampler'), allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5),
                  max_per_img=100))
"""
COCO_DETECTION = """
dataset_type = 'CocoDataset'
data_root = 'data/coco/'
backend_args = None
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
train_dataloader = dict(
    batch_size=2, num_workers=2, persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True), batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(type=dataset_type, data_root=data_root, ann_file='annotations/instances_train2017.json',
                 data_prefix=dict(img='train2017/'), filter_cfg=dict(filter_empty_gt=True, min_size=16),
                 pipeline=train_pipeline, backend_args=backend_args))
val_dataloader = dict(batch_size=1, dataset=dict(type=dataset_type, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file='annotations/instances_val2017.json', metric='bbox')
test_evaluator = val_evaluator
"""
RUNTIME = """
default_scope = 'mmdet'
default_hooks = dict(
    timer=dict(type='IterTimerHook'), logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'), checkpoint=dict(type='CheckpointHook', interval=1),
    sampler_seed=dict(type='DistSamplerSeedHook'), visualization=dict(type='DetVisualizationHook'))
env_cfg = dict(cudnn_benchmark=False)
log_level = 'INFO'
load_from = None
resume = False
"""
SCHEDULE = """
_base_ = ['base/retinanet.py', 'base/coco_detection.py', 'base/runtime.py']
images_per_step = 4
train_cfg = dict(type='IterBasedTrainLoop', max_iters=100, val_interval=50)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type='MultiStepLR', by_epoch=False, milestones=[80], gamma=0.1)]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001))
"""
FCN = """
default_scope = 'mmseg'
crop_size = (64, 64)
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder', pretrained='open-mmlab://resnet50_v1c',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_val=0, seg_pad_val=255, size=crop_size),
    backbone=dict(type='ResNetV1c', depth=50, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), norm_cfg=norm_cfg),
    decode_head=dict(type='FCNHead', in_channels=2048, in_index=3, channels=16, num_convs=1, dropout_ratio=0.1,
                     num_classes=19, norm_cfg=dict(type='BN'), align_corners=False,
                     loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    auxiliary_head=dict(type='FCNHead', in_channels=1024, in_index=2, channels=8, num_convs=1, num_classes=19,
                        norm_cfg=dict(type='BN'), align_corners=False,
                        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4)),
    train_cfg=dict(), test_cfg=dict(mode='slide', crop_size=crop_size, stride=(42, 42)))
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(128, 64), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75), dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')]
test_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=(128, 64), keep_ratio=True),
    dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(batch_size=4, sampler=dict(type='InfiniteSampler', shuffle=True),
                        dataset=dict(type='CityscapesDataset', data_root='data', pipeline=train_pipeline))
test_dataloader = dict(batch_size=1, dataset=dict(type='CityscapesDataset', pipeline=test_pipeline))
auto_scale_lr = dict(enable=False, base_batch_size=16)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=200, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=200)
"""
POSE = """
default_scope = 'mmpose'
custom_hooks = [dict(type='SyncBuffersHook')]
codec = dict(type='MSRAHeatmap', input_size=(64, 96), heatmap_size=(16, 24), sigma=2)
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=50),
    head=dict(type='HeatmapHead', in_channels=2048, out_channels=17, deconv_out_channels=(32, 32, 32),
              deconv_kernel_sizes=(4, 4, 4), loss=dict(type='KeypointMSELoss', use_target_weight=True), decoder=codec),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True))
train_pipeline = [
    dict(type='LoadImage'), dict(type='GetBBoxCenterScale'), dict(type='RandomFlip', direction='horizontal'),
    dict(type='TopdownAffine', input_size=codec['input_size']), dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')]
val_pipeline = [
    dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']), dict(type='PackPoseInputs')]
train_dataloader = dict(batch_size=64, sampler=dict(type='DefaultSampler', shuffle=True),
                        dataset=dict(type='CocoDataset', data_mode='topdown', pipeline=train_pipeline))
test_dataloader = dict(batch_size=32, dataset=dict(type='CocoDataset', bbox_file='boxes.json', pipeline=val_pipeline))
auto_scale_lr = dict(base_batch_size=512)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=5e-4))
param_scheduler = dict(type='MultiStepLR', milestones=[170, 200], gamma=0.1, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=210)
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def retinanet(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    for name, text in (("retinanet", RETINANET), ("coco_detection", COCO_DETECTION), ("runtime", RUNTIME)):
        (tmp_path / "base" / f"{name}.py").write_text(text, encoding="utf-8")
    return written(tmp_path, SCHEDULE)


def changed(head: Path, addition: str) -> Path:
    """A file beside `head`, which is its base."""
    path = head.with_name("changed.py")
    path.write_text(f"_base_ = './{head.name}'\n{addition}\n", encoding="utf-8")
    return path


def composed(head: UserHead, arch: str) -> Any:
    return compose(
        head.config, backbone=spec_of(arch), contract=IMAGENET, weights=None, train=SPLIT, test=SPLIT,
        classes=CLASSES, seed=0,
    )  # fmt: skip


def built(config: Any) -> Any:
    init_default_scope(config.default_scope)
    with quiet():
        return MODELS.build(config.model)


@pytest.mark.parametrize("arch", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "resnet18_cifar"])
@torch.no_grad()
def test_a_single_stage_detector_sees_the_strides_that_its_anchors_have(retinanet: Path, arch: str) -> None:
    config = composed(UserHead.read(retinanet), arch)
    model = built(config)
    maps = model.extract_feat(torch.randn(1, 3, 256, 384))
    assert [tuple(m.shape[2:]) for m in maps] == [(256 // s, 384 // s) for s in (8, 16, 32, 64, 128)]
    assert model.bbox_head.num_classes == 3
    assert (config.model.neck.type == "FPN") == (arch in ("resnet18", "swin_tiny_patch4_window7_224"))


def test_everything_but_backbone_classes_input_and_data_is_theirs(retinanet: Path) -> None:
    config = composed(UserHead.read(retinanet), "resnet18")
    assert config.task.name == "detection" and config.task.images_per_step == 4
    assert config.train_cfg.to_dict() == {"type": "IterBasedTrainLoop", "max_iters": 100}
    assert config.optim_wrapper.optimizer.lr == 0.01 and config.param_scheduler[1].end == 100
    train, test = config.train_dataloader.dataset.dataset, config.test_dataloader.dataset.dataset
    assert train.filter_cfg.min_size == 16 and train.pipeline[2].scale == (128, 128)
    assert "data_root" not in train and train.ann_file == "annotations" and train.metainfo["classes"][0] == "ball"
    assert [step.type for step in test.pipeline] == ["LoadImageFromFile", "Resize", "PackDetInputs"]
    assert config.model.backbone.type == "TransferBackbone" and "init_cfg" not in config.model.backbone
    assert config.model.data_preprocessor.mean == pytest.approx([123.675, 116.28, 103.53])
    assert config.model.data_preprocessor.type == "StepDetDataPreprocessor"


def test_a_segmenter_keeps_its_stride_and_its_auxiliary_head(tmp_path: Path) -> None:
    config = composed(UserHead.read(written(tmp_path, FCN)), "resnet18")
    assert config.task.images_per_step == 16 and config.model.test_cfg.mode == "slide"
    assert config.model.backbone.output_stride == 8 and "pretrained" not in config.model
    assert (config.model.decode_head.in_channels, config.model.auxiliary_head.in_channels) == (512, 256)
    model = built(config)
    assert model.decode_head.num_classes == model.auxiliary_head.num_classes == 3
    assert model.decode_head(model.extract_feat(torch.randn(2, 3, 64, 64))).shape == (2, 3, 8, 8)


def test_a_pose_head_is_lifted_to_its_heatmaps(tmp_path: Path) -> None:
    config = composed(UserHead.read(written(tmp_path, POSE)), "resnet18")
    assert config.task.images_per_step == 512 and config.param_scheduler[0].end == 210
    assert "bbox_file" not in config.test_dataloader.dataset.dataset
    model = built(config)
    assert model.head(model.extract_feat(torch.randn(1, 3, 96, 64))).shape == (1, 17, 24, 16)


@pytest.mark.parametrize(("arch", "deconvolutions"), [("resnet18", 3), ("vit_tiny_patch16_224", 2)])
def test_deconvolutions_are_as_many_as_the_stride_needs(tmp_path: Path, arch: str, deconvolutions: int) -> None:
    given = "deconv_out_channels=(32, 32, 32),\n              deconv_kernel_sizes=(4, 4, 4), "
    for text, width in ((POSE, 32), (POSE.replace(given, ""), 256)):
        layers = built(composed(UserHead.read(written(tmp_path, text)), arch)).head.deconv_layers
        widths = [layer.out_channels for layer in layers if hasattr(layer, "out_channels")]
        assert widths == [width] * deconvolutions
    narrowing = POSE.replace("(32, 32, 32)", "(32, 32, 16)")
    if arch == "resnet18":
        assert composed(UserHead.read(written(tmp_path, narrowing)), arch).model.head.deconv_out_channels == (
            32,
            32,
            16,
        )
    else:
        with pytest.raises(BadOption, match="3 deconvolutions of 32, 32, 16 channels"):
            composed(UserHead.read(written(tmp_path, narrowing)), arch)


def test_a_head_of_single_steps_knows_the_size_of_its_map(tmp_path: Path) -> None:
    codec = "dict(type='SimCCLabel', input_size=(64, 96), sigma=(4.9, 5.66), simcc_split_ratio=2.0)"
    head = (
        "dict(type='RTMCCHead', in_channels=1024, out_channels=17, input_size=(64, 96), in_featuremap_size=(6, 8), "
        "simcc_split_ratio=2.0, gau_cfg=dict(hidden_dims=32, s=16, expansion_factor=2, "
        "dropout_rate=0.0, drop_path=0.0, act_fn='SiLU', use_rel_bias=False, pos_enc=False), "
        "loss=dict(type='KLDiscretLoss', use_target_weight=True), decoder=codec),"
    )
    start, _, rest = POSE.partition("    head=")
    _, _, end = rest.partition("decoder=codec),")
    before, _, after = start.partition("codec = ")
    text = f"{before}codec = {codec}\n{after.partition(chr(10))[2]}    head={head}{end}"
    config = composed(UserHead.read(written(tmp_path, text)), "resnet18")
    assert config.model.head.in_featuremap_size == (2, 3)
    scores, _ = built(config).head((torch.randn(1, 512, 3, 2),))
    assert scores.shape == (1, 17, 128)


@pytest.mark.parametrize(
    ("addition", "problem"),
    [
        ("custom_hooks = [dict(type='EMAHook')]", "hook EMAHook cannot be honoured"),
        ("default_hooks = dict(early=dict(type='EarlyStoppingHook'))", "hook EarlyStoppingHook cannot be honoured"),
        ("custom_imports = dict(imports=['os'])", "custom_imports cannot be honoured"),
        ("load_from = 'retinanet.pth'", "load_from cannot be honoured"),
        ("resume = True", "resume cannot be honoured"),
        ("train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=12)", "how long an epoch is"),
        ("param_scheduler = [dict(type='MultiStepLR', milestones=[8, 11])]", "counts epochs"),
        ("optim_wrapper = dict(type='AmpOptimWrapper')", "optim_wrapper is AmpOptimWrapper"),
        ("optim_wrapper = dict(accumulative_counts=4)", "accumulative_counts cannot be honoured"),
        ("optim_wrapper = dict(constructor='LearningRateDecayOptimizerConstructor')", "constructor='LayerDecay'"),
        ("train_dataloader = dict(sampler=dict(type='ClassAwareSampler'))", "ClassAwareSampler cannot be honoured"),
        ("train_dataloader = dict(dataset=dict(type='RepeatDataset', dataset=dict()))", "wraps data sets in a RepeatD"),
        ("model = dict(data_preprocessor=dict(batch_augments=[dict(type='BatchFixedSizePad')]))", "batch_augments"),
        (
            "model = dict(init_cfg=dict(type='Pretrained', checkpoint='x.pth'))",
            "model.init_cfg reads weights from 'x.p",
        ),
        ("images_per_step = None", "Write images_per_step = 16"),
        ("default_scope = 'mmrotate'", "default_scope, one of mmdet, mmpose, mmseg; found 'mmrotate'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(retinanet: Path, addition: str, problem: str) -> None:
    with pytest.raises(BadOption, match=problem):
        UserHead.read(changed(retinanet, addition))


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"there is no head file .*gone\.py"):
        UserHead.read(tmp_path / "gone.py")
    with pytest.raises(BadOption, match=r"mine\.py cannot be read as an mmengine config: .*base"):
        UserHead.read(written(tmp_path, "_base_ = './base.py'"))
    with pytest.raises(BadOption, match=r"mine\.py cannot be read as an mmengine config"):
        UserHead.read(written(tmp_path, "model = dict("))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("model = dict(neck=dict(start_level=0))", "strides 8, 16, 32, 64, 128, but those that it gets have 4, 8"),
        (
            "model = dict(neck=dict(num_outs=4))",
            "strides 8, 16, 32, 64, 128, but those that it gets have 8, 16, 32, 64:",
        ),
        ("model = dict(neck=dict(type='PAFPN'))", "must be one FPN .*found PAFPN"),
        ("model = dict(neck=dict(end_level=2))", "found FPN with end_level 2"),
        ("model = dict(bbox_head=dict(anchor_generator=dict(_delete_=True, type='AnchorGenerator')))", "does not say"),
    ],
)
@pytest.mark.parametrize("arch", ["resnet18", "vit_tiny_patch16_224"])
def test_anchors_of_other_strides_than_the_necks_are_refused(
    retinanet: Path, change: str, problem: str, arch: str
) -> None:
    head = UserHead.read(changed(retinanet, change))
    with pytest.raises(BadOption, match=problem):
        composed(head, arch)


def test_regions_are_cut_at_the_strides_of_the_maps() -> None:
    config = head_config(
        "faster_rcnn_fpn/mini", **{"model.roi_head.bbox_roi_extractor.featmap_strides": [8, 16, 32, 64]}
    )
    with pytest.raises(BadOption, match=r"roi_head\.bbox_roi_extractor is for maps of strides 8, 16, 32, 64, but"):
        compose(config, backbone=spec_of("resnet18"), contract=IMAGENET, weights=None, train=SPLIT, test=SPLIT,
                classes=CLASSES, seed=0)  # fmt: skip


def test_random_samplers_draw_by_position(retinanet: Path) -> None:
    base = retinanet.parent / "base" / "retinanet.py"
    sampler = "sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5)"
    base.write_text(RETINANET.replace("sampler=dict(type='PseudoSampler')", sampler), encoding="utf-8")
    assert UserHead.read(retinanet).config.model.train_cfg.sampler.type == "PositionSampler"


def test_the_label_follows_what_the_file_and_its_bases_say(retinanet: Path) -> None:
    first = UserHead.read(retinanet).label
    retinanet.write_text(f"{SCHEDULE}\n# a comment", encoding="utf-8")
    assert UserHead.read(retinanet).label == first and first.startswith("mine-")
    base = retinanet.parent / "base" / "retinanet.py"
    base.write_text(RETINANET.replace("gamma=2.0", "gamma=1.0"), encoding="utf-8")
    assert UserHead.read(retinanet).label != first


def test_it_takes_the_place_of_heads_of_its_type(retinanet: Path) -> None:
    mine = UserHead.read(retinanet)
    heads = [head_config(name) for name in ("faster_rcnn_fpn/mini", "pose_heatmap/mini")]
    replaced = mine.instead_of(heads)
    assert [head.model.type for head in replaced] == ["RetinaNet", "TopdownPoseEstimator"]
    with pytest.raises(BadOption, match="is for detection, and the tasks asked for are for pose"):
        mine.instead_of(heads[1:])


def test_deviations_apply_to_it(retinanet: Path) -> None:
    config = UserHead.read(retinanet).config
    override(config, {"iterations": 10, "image_size": 64, "trunk": "frozen"})
    assert list(config.param_scheduler[-1].milestones) == [8] and config.model.backbone.frozen_stages == "all"
    assert config.test_dataloader.dataset.pipeline[1].scale == (64, 64)
