"""UPerNet on CamVid road scenes: the ADE20K recipe, narrower, in a quarter of an hour on two cores.

Data:      `camvid`, 48 training and 24 test images of 480x360, 11 classes, 255 ignored.
Schedule:  200 steps of 4 crops of 320x240, AdamW, rate 5e-4 with 20 steps of warm-up, linear decay to 0.
Launch:    tools/eval.sh CKPT real-mini-heads --tasks upernet
Expected:  a falling loss; no value is kept for this size.
"""

_base_ = "./upernet_ade20k.py"

task = dict(dataset="camvid", images_per_step=4)
crop_size = (240, 320)

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

train_cfg = dict(max_iters=200)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=20, end=200),
]
