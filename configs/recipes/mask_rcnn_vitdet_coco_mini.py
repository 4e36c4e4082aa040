"""Mask R-CNN the way of ViTDet on 159 images of COCO: that recipe's trunk, heads and optimizer.

Data:      `coco-mini`, COCO 2017 images, 80 classes of which most are rare.
Schedule:  300 steps of 4 images of 320x320 at most, AdamW, rate 2e-4 with 50 steps of warm-up, divided by 10 at 240,
           weight decay 0.1, layer decay 0.7; windows of 7x7 cells.
Launch:    tools/eval.sh CKPT real-mini-heads --tasks vitdet
Expected:  a falling loss; the data is too small for an AP above a few percent.
"""

_base_ = "./mask_rcnn_fpn_coco_mini.py"

norm = dict(type="LN2d", eps=1e-6)

model = dict(
    backbone=dict(window=7),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=64, norm_cfg=norm),
        mask_head=dict(norm_cfg=norm),
    ),
)

optim_wrapper = dict(
    constructor="LayerDecay",
    paramwise_cfg=dict(layer_decay=0.7),
    optimizer=dict(_delete_=True, type="AdamW", lr=2e-4, betas=(0.9, 0.999), weight_decay=0.1),
)
