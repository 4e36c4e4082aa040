"""Top-down pose by heatmaps (simple baselines) on COCO 2017 keypoints.

Data:      COCO 2017 person keypoints, 17 joints; train2017 persons with joints, val2017 persons in their annotated
           boxes (given boxes: no person detector decides the ranking).
Schedule:  61,500 steps of 512 persons cropped to 256x192 (210 epochs of 149,813), Adam, rate 5e-4 with 500
           steps of warm-up, divided by 10 at 49,800 and 58,600 (epochs 170 and 200).
Trunk:     all of it is fine-tuned, SyncBN; deconvolutions lift the last map to stride 4.
Launch:    tools/eval.sh CKPT coco --tasks pose            (8 GPUs: tools/dist.sh 8 CKPT coco --tasks pose)
Expected:  AP 71.8 for ImageNet-supervised ResNet-50 with *detected* boxes and flip test (mmpose 1 model zoo,
           td-hm_res50_8xb64-210e_coco-256x192); given boxes score higher.
"""

default_scope = "mmpose"
task = dict(kind="keypoints", dataset="coco", images_per_step=512)
codec = dict(type="MSRAHeatmap", input_size=(192, 256), heatmap_size=(48, 64), sigma=2)

model = dict(
    type="TopdownPoseEstimator",
    data_preprocessor=dict(type="PoseDataPreprocessor"),
    backbone=dict(type="TransferBackbone", frozen_stages=-1, norm="sync"),
    head=dict(
        type="HeatmapHead",
        out_channels=17,
        deconv_width=256,
        loss=dict(type="KeypointMSELoss", use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, flip_mode="heatmap", shift_heatmap=True),
)

train_dataloader = dict(
    dataset=dict(
        type="CocoDataset",
        data_mode="topdown",
        pipeline=[
            dict(type="LoadImage"),
            dict(type="GetBBoxCenterScale"),
            dict(type="RandomFlip", direction="horizontal"),
            dict(type="RandomHalfBody"),
            dict(type="RandomBBoxTransform"),
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

train_cfg = dict(type="IterBasedTrainLoop", max_iters=61_500)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=61_500, milestones=[49_800, 58_600], gamma=0.1),
]
