"""Mask R-CNN C4 on COCO 2017, the 1x schedule, with MoCo's norms.

Data:      COCO 2017 instances, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Head:      the trunk ends with conv4 (stride 16); regions of 14x14 cells go through conv5, which comes from the
           checkpoint, too, and a norm, are averaged and classified.
           A deconvolution of conv5 makes masks of 14x14.
Schedule:  90,000 steps of 16 images (12.3 epochs), SGD, rate 0.02 with 100 steps of warm-up, divided by 10 at 60,000
           and 80,000; shortest side 640 to 800 in steps of 32, at most 1333.
Trunk:     all of it is fine-tuned, SyncBN in trunk and head.
Launch:    tools/eval.sh CKPT coco-c4                      (8 GPUs: tools/dist.sh 8 CKPT coco-c4)
Expected:  box/mask AP with ResNet-50 (PixPro's README, 1x): supervised 38.2/33.3, MoCo v1 38.5/33.6, MoCo v2 (800
           epochs) 39.5/34.5.
"""

default_scope = "mmdet"
task = dict(kind="segm", dataset="coco", images_per_step=16)
test_scale = (1333, 800)

model = dict(
    type="MaskRCNN",
    data_preprocessor=dict(type="StepDetDataPreprocessor", pad_size_divisor=16, pad_mask=True),
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
        mask_roi_extractor=None,
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=0,
            in_channels=2048,
            conv_out_channels=256,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0),
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
            mask_size=14,
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=6000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100, mask_thr_binary=0.5),
    ),
)

train_dataloader = dict(
    dataset=dict(
        type="CocoDataset",
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True, poly2mask=False),
            dict(type="RandomChoiceResize", scales=[(1333, side) for side in range(640, 801, 32)], keep_ratio=True),
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

train_cfg = dict(type="IterBasedTrainLoop", max_iters=90_000)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=0.0001))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=90_000, milestones=[60_000, 80_000], gamma=0.1),
]
