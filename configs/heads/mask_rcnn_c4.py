"""Mask R-CNN C4, the 1x schedule, with MoCo's norms.

Data:      COCO 2017 instances, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Head:      the backbone ends with conv4 (stride 16); regions of 14x14 cells go through conv5, which comes from the
           checkpoint, too, and a norm, are averaged and classified. A deconvolution of conv5 makes masks of 14x14.
Schedule:  full: 90,000 steps of 16 images (12.3 epochs), SGD, rate 0.02 with 100 steps of warm-up, divided by 10 at
           60,000 and 80,000; shortest side 640 to 800 in steps of 32, at most 1333. small: 300 steps of 4 images, rate
           0.01. mini: 240 steps of 8 images of 128x128.
Backbone:  all of it is fine-tuned, SyncBN in backbone and head.
Launch:    tools/eval.sh CKPT coco-c4                      (8 GPUs: tools/dist.sh 8 CKPT coco-c4)
Expected:  full: box/mask AP with ResNet-50 (PixPro's README, 1x): supervised 38.2/33.3, MoCo v1 38.5/33.6, MoCo v2 (800
           epochs) 39.5/34.5. small and mini: a falling loss; stride 16 is coarse for such images.
"""

from transfer.openmmlab.standard.detectors import detector, last_stage_rcnn
from transfer.openmmlab.standard.pipelines import FLIP, detection_data, resized, resized_to_one_of, shorter_sides
from transfer.openmmlab.standard.schedules import drops, schedule, sgd
from transfer.openmmlab.standard.sizes import MINI_DETECTION, SMALL_DETECTION, SMALL_LAST_STAGE

SCALES = shorter_sides(640, 800)
TASK = "instances"
SIZES = {
    "full": {},
    "small": {**SMALL_DETECTION, **SMALL_LAST_STAGE, "scales": (), "mask_width": 64, "rate": 0.01},
    "mini": {**MINI_DETECTION, **SMALL_LAST_STAGE, "scales": (), "mask_width": 64},
}
PASSED_TO = last_stage_rcnn


def config(
    *,
    image_scale=(1333, 800),
    scales=SCALES,
    images_per_step=16,
    steps=90_000,
    rate=0.02,
    warmup=100,
    milestones=(2 / 3, 8 / 9),
    smallest=32,
    test_batch=1,
    mask_width=256,
    **regions,
):
    """Return the training as a config; no `scales` is `image_scale` alone."""
    augmentation = [resized_to_one_of(scales) if scales else resized(image_scale), FLIP]
    return dict(
        task=dict(images_per_step=images_per_step),
        model=detector("MaskRCNN", last_stage_rcnn(mask_width=mask_width, **regions), divisor=16),
        **detection_data(augmentation, image_scale, masks=True, test_batch=test_batch, smallest=smallest),
        **schedule(steps, sgd(rate, 1e-4), drops(steps, milestones, warmup)),
    )
