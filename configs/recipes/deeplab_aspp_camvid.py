"""DeepLab segmentation on CamVid road scenes: the VOC recipe, in a quarter of an hour on two cores.

Data:      `camvid`, 48 training and 24 test images of 480x360, 11 classes, 255 ignored.
Schedule:  300 steps of 8 crops of 320x240, SGD, rate 0.02, polynomial decay of power 0.9; output stride 16.
Launch:    tools/eval.sh CKPT real-mini --tasks segmentation
Expected:  a falling loss; leaderboard/README.md holds real runs.
"""

_base_ = "./deeplab_aspp_voc.py"

task = dict(dataset="camvid", images_per_step=8)
crop_size = (240, 320)

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(output_stride=16),
    decode_head=dict(channels=64, dilations=(1, 3, 6, 9)),
)

train_dataloader = dict(
    dataset=dict(
        img_suffix=".png",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations"),
            dict(type="RandomResize", scale=(480, 360), ratio_range=(0.6, 1.2), keep_ratio=True),
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
            dict(type="Resize", scale=(480, 360), keep_ratio=True),
            dict(type="PackSegInputs"),
        ],
    ),
)

train_cfg = dict(max_iters=300)
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, by_epoch=False, begin=0, end=300)]
