"""G-RMI pose on small real data: the coco recipe, in a quarter of an hour on two cores.

Data:      `coco-mini`, persons of 80 COCO images, tested on those of 79 others in given boxes; crops of 129x97.
Schedule:  200 steps of 8 persons, Adam, rate 1e-3 with 20 steps of warm-up, divided by 10 at 150; discs of 9 pixels.
Launch:    tools/eval.sh CKPT real-mini-heads --tasks grmi
Expected:  a falling loss; no value is kept for this size.
"""

_base_ = "./grmi_coco.py"

task = dict(dataset="coco-mini", images_per_step=8)
codec = dict(type="HoughVoting", input_size=(97, 129), radius=9)

model = dict(head=dict(decoder=codec))

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

train_cfg = dict(max_iters=200)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=200, milestones=[150], gamma=0.1),
]
