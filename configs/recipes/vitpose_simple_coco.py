"""Top-down pose by ViTPose's simple decoder (Xu et al., NeurIPS 2022, section 3.1) on COCO 2017 keypoints.

Data:      COCO 2017 person keypoints, 17 joints; train2017 persons with joints, val2017 persons in their annotated
           boxes (given boxes: no person detector decides the ranking).
Schedule:  61,500 steps of 512 persons cropped to 256x192 (210 epochs of 149,813), AdamW, rate 5e-4 with 500
           steps of warm-up, divided by 10 at 49,800 and 58,600 (epochs 170 and 200), weight decay 0.1, gradients
           clipped to a norm of 1, rates of the trunk's blocks 0.75 times those of the block above.
Trunk:     all of it is fine-tuned, SyncBN. ReLU, bilinear upsampling to stride 4 and one 3x3 convolution are all that
           follows: by 4 from a plain ViT of patch 16, by 8 from the last map of a hierarchical trunk, whose finer maps
           are not used (pose_heatmap_coco learns its upsampling). Unlike ViTPose's, the map is the one before a
           ViT's final norm.
Launch:    tools/eval.sh CKPT coco-pose --tasks vitpose-simple
Expected:  no published value is known to us for this exact form.
"""

default_scope = "mmpose"
task = dict(kind="keypoints", dataset="coco", images_per_step=512)
codec = dict(type="UDPHeatmap", input_size=(192, 256), heatmap_size=(48, 64), sigma=2)

model = dict(
    type="TopdownPoseEstimator",
    data_preprocessor=dict(type="PoseDataPreprocessor"),
    backbone=dict(type="TransferBackbone", frozen_stages=-1, norm="sync"),
    neck=dict(type="FeatureMapProcessor", select_index=-1, apply_relu=True),
    head=dict(
        type="HeatmapHead",
        out_channels=17,
        deconv_out_channels=(),
        deconv_kernel_sizes=(),
        final_layer=dict(kernel_size=3, padding=1),
        loss=dict(type="KeypointMSELoss", use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, flip_mode="heatmap", shift_heatmap=False),
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
            dict(type="TopdownAffine", input_size=codec["input_size"], use_udp=True),
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
            dict(type="TopdownAffine", input_size=codec["input_size"], use_udp=True),
            dict(type="PackPoseInputs"),
        ],
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=61_500)
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="LayerDecay",
    paramwise_cfg=dict(layer_decay=0.75),
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), weight_decay=0.1),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=61_500, milestones=[49_800, 58_600], gamma=0.1),
]
