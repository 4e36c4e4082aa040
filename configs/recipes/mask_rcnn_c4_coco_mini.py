"""Mask R-CNN C4 on 159 images of COCO: the coco recipe, in an hour on two cores.

Data:      `coco-mini`, COCO 2017 images, 80 classes of which most are rare.
Schedule:  300 steps of 4 images of 320x320 at most, SGD, rate 0.01 with 50 steps of warm-up, divided by 10 at 240.
Launch:    tools/eval.sh CKPT real-mini-heads --tasks instances-c4
Expected:  a falling loss; the data is too small for an AP above a few percent.
"""

_base_ = "./mask_rcnn_c4_coco.py"

task = dict(dataset="coco-mini", images_per_step=4)
test_scale = (320, 320)

model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[1, 2, 4, 8])),
    roi_head=dict(mask_head=dict(conv_out_channels=64)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=500, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=50)),
)

train_dataloader = dict(
    dataset=dict(
        filter_cfg=dict(min_size=8),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True, poly2mask=False),
            dict(type="Resize", scale=test_scale, keep_ratio=True),
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
            dict(type="Resize", scale=test_scale, keep_ratio=True),
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
