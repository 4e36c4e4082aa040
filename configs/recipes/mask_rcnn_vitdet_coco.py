"""Mask R-CNN on COCO 2017 the way of ViTDet (Li et al., ECCV 2022): a plain ViT at 1024 pixels.

Data:      COCO 2017 instances, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Schedule:  184,375 steps of 64 images (100 epochs) at 0.1 to 2 times 1024 pixels, cropped to 1024x1024, AdamW, rate 1e-4
           with 250 steps of warm-up, divided by 10 at 163,889 and 177,546, weight decay 0.1, rates of the trunk's
           blocks 0.7 times those of the block above.
Trunk:     all of it is fine-tuned; a plain ViT's blocks attend within windows of 14x14 cells but for the last of each
           quarter, and its last map becomes strides 4 to 64 (SimpleFeaturePyramid). Other trunks are as they are.
           Ours: no decomposed relative positions (detectron2 adds them, untrained), no stochastic depth, no weight
           decay on biases.
Launch:    tools/eval.sh CKPT fdsl-protocol --tasks vitdet  (8 GPUs: tools/dist.sh 8 CKPT fdsl-protocol --tasks vitdet)
Expected:  box/mask AP with MAE: ViT-B 51.6/45.9, ViT-L 55.5/49.2 (detectron2's README of ViTDet).
"""

_base_ = "./mask_rcnn_fpn_coco.py"

task = dict(images_per_step=64)
image_scale = (1024, 1024)
norm = dict(type="LN2d", eps=1e-6)

model = dict(
    backbone=dict(window=14),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm),
        mask_head=dict(norm_cfg=norm),
    ),
)

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True, poly2mask=False),
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomResize", scale=image_scale, ratio_range=(0.1, 2.0), keep_ratio=True),
            dict(type="RandomCrop", crop_size=image_scale, allow_negative_crop=True),
            dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
            dict(type="PackDetInputs"),
        ],
    ),
)
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=image_scale, keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)

train_cfg = dict(max_iters=184_375)
optim_wrapper = dict(
    constructor="LayerDecay",
    paramwise_cfg=dict(layer_decay=0.7),
    optimizer=dict(_delete_=True, type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=184_375, milestones=[163_889, 177_546], gamma=0.1),
]
