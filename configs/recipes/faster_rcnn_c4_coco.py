"""Faster R-CNN C4 on COCO 2017 as JFT-300M's paper trains it (Sun et al., ICCV 2017).

Data:      COCO 2017 detection, train2017 and val2017, 80 classes. The paper reports on 8,000 images of
           2014's val and on test-dev, so its numbers are no exact reference.
Head:      the trunk ends with conv4 (stride 16); regions of 14x14 cells go through conv5, which comes from the
           checkpoint, too, are averaged and classified.
Schedule:  375,000 steps of 8 images, SGD, rate 0.0032, divided by 10 at 312,500: the paper's 3 million asynchronous
           steps of one image at rate 0.0004, divided by 10 at 2.5 million, with the rate scaled by the step's images.
           Images are scaled to 1024 pixels at most; 64 anchors and 256 regions of an image are trained on.
Trunk:     conv1 to conv5 are fine-tuned with the checkpoint's batch statistics. RoIAlign stands for the paper's
           cropping, and the anchors are detectron2's 15 of stride 16, which the paper does not state.
Launch:    tools/eval.sh CKPT jft-protocol --tasks detection
Expected:  AP 34.3 on test-dev for ResNet-101 from ImageNet, 37.4 after ImageNet and JFT-300M (the paper's Table).
"""

default_scope = "mmdet"
task = dict(kind="bbox", dataset="coco", images_per_step=8)
test_scale = (1024, 1024)

model = dict(
    type="FasterRCNN",
    data_preprocessor=dict(type="StepDetDataPreprocessor", pad_size_divisor=16),
    backbone=dict(type="TransferBackbone", frozen_stages=-1, norm="eval"),
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
        shared_head=dict(type="LastStage", extra_norm=False),
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
            sampler=dict(type="PositionSampler", num=64, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=6000, max_per_img=600, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
            ),
            sampler=dict(type="PositionSampler", num=256, pos_fraction=0.25, add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=6000, max_per_img=300, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
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
            dict(type="Resize", scale=(1024, 1024), keep_ratio=True),
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

train_cfg = dict(type="IterBasedTrainLoop", max_iters=375_000)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0032, momentum=0.9, weight_decay=0.0001))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=375_000, milestones=[312_500], gamma=0.1),
]
