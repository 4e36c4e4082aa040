"""Mask R-CNN the way of Swin transformers on 159 images of COCO: that recipe's scales and optimizer.

Data:      `coco-mini`, COCO 2017 images, 80 classes of which most are rare.
Schedule:  300 steps of 4 images of 240 to 320 pixels, half of them cropped before, AdamW, rate 2e-4 with 50 steps of
           warm-up, divided by 10 at 240, weight decay 0.05.
Launch:    tools/eval.sh CKPT real-mini-heads --tasks swin
Expected:  a falling loss; the data is too small for an AP above a few percent.
"""

_base_ = "./mask_rcnn_fpn_coco_mini.py"

scales = [(240, 240), (280, 280), (320, 320)]

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
                            type="RandomCrop",
                            crop_type="absolute_range",
                            crop_size=(192, 300),
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

optim_wrapper = dict(
    constructor="LayerDecay",
    paramwise_cfg=dict(layer_decay=1.0),
    optimizer=dict(_delete_=True, type="AdamW", lr=2e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
