"""Mask R-CNN on COCO 2017 the way of Swin transformers (Liu et al., ICCV 2021): three times as long, many scales.

Data:      COCO 2017 instances, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Schedule:  263,850 steps of 16 images (36 epochs) with a shorter side of 480 to 800 pixels, half of them cropped before,
           AdamW, rate 1e-4 with 1,000 steps of warm-up, divided by 10 at 197,890 and 241,860 (epochs 27 and 33),
           weight decay 0.05 but for norms, biases and positions.
Trunk:     all of it is fine-tuned; batch norms, where there are any, over the global batch (SyncBN). No stochastic
           depth, so that the result does not depend on the number of processes (Swin's has 0.2).
Launch:    tools/eval.sh CKPT fdsl-protocol --tasks swin   (8 GPUs: tools/dist.sh 8 CKPT fdsl-protocol --tasks swin)
Expected:  box/mask AP of FDSL's table, whose schedule is not stated: ImageNet-1k 48.2/43.1, ExFractalDB-1k 48.0/42.8,
           RCDB-1k 47.4/42.2, scratch 42.2/38.5 (Kataoka et al., CVPR 2022).
"""

_base_ = "./mask_rcnn_fpn_coco.py"

scales = [(1333, side) for side in range(480, 801, 32)]

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True, poly2mask=False),
            dict(type="RandomFlip", prob=0.5),
            dict(
                type="RandomChoice",
                transforms=[
                    [dict(type="RandomChoiceResize", scales=scales, keep_ratio=True)],
                    [
                        dict(
                            type="RandomChoiceResize", scales=[(4200, 400), (4200, 500), (4200, 600)], keep_ratio=True
                        ),
                        dict(
                            type="RandomCrop",
                            crop_type="absolute_range",
                            crop_size=(384, 600),
                            allow_negative_crop=True,
                        ),
                        dict(type="RandomChoiceResize", scales=scales, keep_ratio=True),
                    ],
                ],
            ),
            dict(type="PackDetInputs"),
        ],
    ),
)

train_cfg = dict(max_iters=263_850)
optim_wrapper = dict(
    constructor="LayerDecay",
    paramwise_cfg=dict(layer_decay=1.0),
    optimizer=dict(_delete_=True, type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=1_000),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=263_850, milestones=[197_890, 241_860], gamma=0.1),
]
