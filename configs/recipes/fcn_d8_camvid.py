"""FCN-D8 segmentation on CamVid road scenes: the VOC recipe, in a quarter of an hour on two cores.

Data:      `camvid`, 48 training and 24 test images of 480x360 (here 320x240), 11 classes, 255 ignored.
Schedule:  150 steps of 4 crops of 240x160, SGD, rate 0.01, polynomial decay of power 0.9.
Launch:    tools/eval.sh CKPT real-mini-heads --tasks fcn
Expected:  a falling loss; no value is kept for this size.
"""

_base_ = "./fcn_d8_voc.py"

task = dict(dataset="camvid", images_per_step=4)
crop_size = (160, 240)

model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(channels=64),
)

train_dataloader = dict(
    dataset=dict(
        img_suffix=".png",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations"),
            dict(type="RandomResize", scale=(320, 240), ratio_range=(0.75, 1.5), keep_ratio=True),
            dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.9),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackSegInputs"),
        ],
    ),
)
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        img_suffix=".png",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(320, 240), keep_ratio=True),
            dict(type="PackSegInputs"),
        ],
    ),
)

train_cfg = dict(max_iters=150)
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, by_epoch=False, begin=0, end=150)]
