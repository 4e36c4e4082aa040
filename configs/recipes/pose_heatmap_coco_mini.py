"""Top-down pose by heatmaps on small real data: the coco recipe, in a quarter of an hour on two cores.

Data:      `coco-mini`, persons of 80 COCO images, tested on those of 79 others in given boxes; crops of 128x96.
Schedule:  300 steps of 16 persons, Adam, rate 1e-3 with 30 steps of warm-up, divided by 10 at 220.
Launch:    tools/eval.sh CKPT real-mini --tasks pose
Expected:  a falling loss; leaderboard/README.md holds real runs.
"""

_base_ = "./pose_heatmap_coco.py"

task = dict(dataset="coco-mini", images_per_step=16)
codec = dict(type="MSRAHeatmap", input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5)

model = dict(head=dict(deconv_width=64, decoder=codec), test_cfg=dict(flip_test=False))

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="GetBBoxCenterScale"),
            dict(type="RandomFlip", direction="horizontal"),
            dict(type="RandomBBoxTransform", shift_prob=0.0, scale_factor=(0.8, 1.2), rotate_prob=0.0),
            dict(type="TopdownAffine", input_size=codec["input_size"]),
            dict(type="GenerateTarget", encoder=codec),
            dict(type="PackPoseInputs"),
        ],
    ),
)
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="GetBBoxCenterScale"),
            dict(type="TopdownAffine", input_size=codec["input_size"]),
            dict(type="PackPoseInputs"),
        ],
    ),
)

train_cfg = dict(max_iters=300)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=300, milestones=[220], gamma=0.1),
]
