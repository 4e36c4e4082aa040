"""Faster R-CNN C4 on PASCAL VOC 07+12, MoCo's detection protocol.

Data:      VOC 2007 and 2012 trainval (16,551 images) and 2007 test (4,952), 20 classes; difficult boxes are trained on,
           as detectron2 does, and do not count in the scores.
Head:      the trunk ends with conv4 (stride 16); regions of 14x14 cells go through conv5, which comes from the
           checkpoint, too, and a norm, are averaged and classified.
Schedule:  24,000 steps of 16 images, SGD, rate 0.02 with 100 steps of warm-up, divided by 10 at 18,000 and 22,000;
           shortest side 480 to 800 in steps of 32, at most 1333.
Trunk:     all of it is fine-tuned, SyncBN in trunk and head.
Launch:    tools/eval.sh CKPT voc                          (8 GPUs: tools/dist.sh 8 CKPT voc)
Expected:  AP50/AP/AP75 by the 2007 rule with ResNet-50 (MoCo's detection/README.md, mean of 5): supervised
           81.3/53.5/58.8, MoCo v2 (800 epochs) 82.5/57.4/64.0, random 60.2/33.8/33.1.
"""

default_scope = "mmdet"
task = dict(kind="voc", dataset="voc0712", images_per_step=16)
test_scale = (1333, 800)

model = dict(
    type="FasterRCNN",
    data_preprocessor=dict(type="StepDetDataPreprocessor", pad_size_divisor=16),
    backbone=dict(type="TransferBackbone", frozen_stages=-1, norm="sync"),
    rpn_head=dict(
        type="RPNHead",
        in_channels=1024,
        feat_channels=1024,
        anchor_generator=dict(type="AnchorGenerator", scales=[2, 4, 8, 16, 32], ratios=[0.5, 1.0, 2.0], strides=[16]),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
    ),
    roi_head=dict(
        type="LastStageRoIHead",
        shared_head=dict(type="LastStage", extra_norm=True),
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
            out_channels=1024,
            featmap_strides=[16],
        ),
        bbox_head=dict(
            type="BBoxHead",
            with_avg_pool=True,
            in_channels=2048,
            roi_feat_size=7,
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_class_agnostic=False,
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type="L1Loss", loss_weight=1.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True
            ),
            sampler=dict(type="PositionSampler", num=256, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=12000, max_per_img=2000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
            ),
            sampler=dict(type="PositionSampler", num=512, pos_fraction=0.25, add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=6000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100),
    ),
)

train_dataloader = dict(
    dataset=dict(
        type="CocoDataset",
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomChoiceResize", scales=[(1333, side) for side in range(480, 801, 32)], keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type="CocoDataset",
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=test_scale, keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=24_000)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=0.0001))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=24_000, milestones=[18_000, 22_000], gamma=0.1),
]
