"""Mask R-CNN the way of ViTDet (Li et al., ECCV 2022): a plain ViT at 1024 pixels.

Data:      COCO 2017 instances, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Schedule:  full: 184,375 steps of 64 images (100 epochs) at 0.1 to 2 times 1024 pixels, cropped to 1024x1024, AdamW,
           rate 1e-4 with 250 steps of warm-up, divided by 10 at 163,889 and 177,546, weight decay 0.1, rates of the
           backbone's blocks 0.7 times those of the block above. small: 300 steps of 4 images and mini: 240 steps of 8
           images, both of one scale, with a narrow pyramid.
Backbone:  all of it is fine-tuned; a plain ViT's blocks attend within windows of 14x14 cells (small 7, mini 4) but for
           the last of each quarter, and its last map becomes strides 4 to 64 (SimpleFeaturePyramid). Other backbones
           are as they are. Ours: no decomposed relative positions (detectron2 adds them, untrained), no stochastic
           depth, no weight decay on biases.
Launch:    tools/eval.sh CKPT fdsl-protocol --tasks vitdet  (8 GPUs: tools/dist.sh 8 CKPT fdsl-protocol --tasks vitdet)
Expected:  full: box/mask AP with MAE: ViT-B 51.6/45.9, ViT-L 55.5/49.2 (detectron2's README of ViTDet). small and mini:
           a falling loss.
"""

from transfer.openmmlab.standard.detectors import detector, pyramid_rcnn
from transfer.openmmlab.standard.pipelines import FLIP, detection_data, jittered_crops, resized
from transfer.openmmlab.standard.schedules import drops, layer_decay, schedule
from transfer.openmmlab.standard.sizes import MINI_DETECTION, MINI_PYRAMID, SMALL_DETECTION, SMALL_PYRAMID

TASK = "instances"
ONE_SCALE = {"jitter": False, "mask_convs": 2}
SIZES = {
    "full": {},
    "small": {**SMALL_DETECTION, **SMALL_PYRAMID, **ONE_SCALE, "rate": 2e-4, "window": 7},
    "mini": {**MINI_DETECTION, **MINI_PYRAMID, **ONE_SCALE, "rate": 1e-3, "window": 4},
}
PASSED_TO = pyramid_rcnn
NORM = dict(type="LN2d", eps=1e-6)


def config(
    *,
    image_scale=(1024, 1024),
    jitter=True,
    images_per_step=64,
    steps=184_375,
    rate=1e-4,
    warmup=250,
    milestones=(8 / 9, 26 / 27),
    window=14,
    smallest=32,
    test_batch=1,
    mask_convs=4,
    width=256,
    **pyramid,
):
    """Return the training as a config."""
    parts = pyramid_rcnn(mask_convs=mask_convs, width=width, **pyramid)
    parts["rpn_head"].update(num_convs=2)
    parts["roi_head"]["bbox_head"].update(type="Shared4Conv1FCBBoxHead", conv_out_channels=width, norm_cfg=NORM)
    parts["roi_head"]["mask_head"].update(norm_cfg=NORM)
    augmentation = [FLIP, *jittered_crops(image_scale, (0.1, 2.0))] if jitter else [resized(image_scale), FLIP]
    return dict(
        task=dict(images_per_step=images_per_step),
        model=detector("MaskRCNN", parts, backbone=dict(window=window)),
        **detection_data(augmentation, image_scale, masks=True, test_batch=test_batch, smallest=smallest),
        **schedule(steps, layer_decay(rate, 0.1, 0.7), drops(steps, milestones, warmup)),
    )
