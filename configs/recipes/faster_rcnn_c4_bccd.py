"""Faster R-CNN C4 on BCCD blood cells: the voc recipe, in half an hour on two cores.

Data:      `bccd`, 292 training and 72 test images of 640x480, 3 classes.
Schedule:  300 steps of 4 images of 320x240, SGD, rate 0.01 with 50 steps of warm-up, divided by 10 at 240.
Launch:    tools/eval.sh CKPT real-mini-heads --tasks cells-c4
Expected:  a falling loss; leaderboard/README.md holds real runs.
"""

_base_ = "./faster_rcnn_c4_voc.py"

task = dict(kind="bbox", dataset="bccd", images_per_step=4)
test_scale = (320, 240)

model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[1, 2, 4, 8])),
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
            dict(type="LoadAnnotations", with_bbox=True),
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
