"""G-RMI pose (Papandreou et al., CVPR 2017) on COCO 2017 keypoints, as JFT-300M was judged (Sun et al., ICCV 2017).

Data:      COCO 2017 person keypoints, 17 joints; train2017 persons with joints, val2017 persons in their annotated
           boxes (given boxes: no person detector decides the ranking), crops of 353x257 pixels.
Schedule:  450,000 steps of 24 persons, Adam, rate 5e-4 with 500 steps of warm-up, divided by 10 at 250,000; boxes
           enlarged by 1.25 times 0.8 to 1.2, flips. No flip in the test.
Trunk:     output stride 8 by dilation, SyncBN, all of it fine-tuned; convolutional trunks only. A 1x1 convolution gives
           for each joint the logit of a disc of 25 pixels and the offset to the joint, upsampled to the crop; losses
           weighted 4 and 1. Joints are peaks of Hough votes; a pose's score is the mean of its joints' peaks; poses of
           similarity above 0.9 to a better one are left out.
Ours:      24 persons a step, optimiser, rate and the threshold of 0.9 (mmpose's), which the descriptions at hand do not
           state. Without the paper's second loss on layer 50, its averaged weights and its data from outside COCO.
Launch:    tools/eval.sh CKPT jft-protocol --tasks pose    (8 GPUs: tools/dist.sh 8 CKPT jft-protocol --tasks pose)
Expected:  no published value is known to us for this exact form.
"""

default_scope = "mmpose"
task = dict(kind="keypoints", dataset="coco", images_per_step=24, stride=8)
codec = dict(type="HoughVoting", input_size=(257, 353), radius=25)
writer = dict(minimum_joint_score=None, oks_nms=0.9)

model = dict(
    type="TopdownPoseEstimator",
    data_preprocessor=dict(type="PoseDataPreprocessor"),
    backbone=dict(type="TransferBackbone", output_stride=8, frozen_stages=-1, norm="sync"),
    head=dict(type="GRMIHead", out_channels=17, decoder=codec, heatmap_weight=4.0, offset_weight=1.0),
    test_cfg=dict(flip_test=False),
)

train_dataloader = dict(
    dataset=dict(
        type="CocoDataset",
        data_mode="topdown",
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
    batch_size=32,
    dataset=dict(
        type="CocoDataset",
        data_mode="topdown",
        test_mode=True,
        pipeline=[
            dict(type="LoadImage"),
            dict(type="GetBBoxCenterScale"),
            dict(type="TopdownAffine", input_size=codec["input_size"]),
            dict(type="PackPoseInputs"),
        ],
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=450_000)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=450_000, milestones=[250_000], gamma=0.1),
]
