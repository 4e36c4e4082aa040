"""Mask R-CNN with a narrow feature pyramid on 159 images of COCO: the coco recipe, in half an hour on two cores.

Data:      `coco-mini`, COCO 2017 images, 80 classes of which most are rare.
Schedule:  300 steps of 4 images of 320x320 at most, SGD, rate 0.01 with 50 steps of warm-up, divided by 10 at 240.
Launch:    tools/eval.sh CKPT real-mini --tasks instances
Expected:  a falling loss; the data is too small for an AP above a few percent.
"""

_base_ = "./mask_rcnn_fpn_coco.py"

task = dict(dataset="coco-mini", images_per_step=4)
image_scale = (320, 320)

model = dict(
    neck=dict(out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(in_channels=64, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=64, finest_scale=28),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=128)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
)

train_dataloader = dict(
    dataset=dict(
        filter_cfg=dict(min_size=8),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True, poly2mask=False),
            dict(type="Resize", scale=image_scale, keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ],
    ),
)
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=image_scale, keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)

train_cfg = dict(max_iters=300)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=50),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=300, milestones=[240], gamma=0.1),
]
