"""Mask R-CNN with a feature pyramid, the 1x schedule.

Data:      COCO 2017 instances, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Schedule:  full: 90,000 steps of 16 images (12.3 epochs), SGD, rate 0.02 with 500 steps of warm-up, divided by 10 at
           60,000 and 80,000 (detectron2's 1x: 90k steps). small: 300 steps of 4 images, rate 0.01, a narrow pyramid.
           mini: 240 steps of 8 images of 128x128.
Backbone:  all of it is fine-tuned; batch statistics are taken over the global batch (SyncBN), so that backbones whose
           statistics differ, and the random control, are treated alike (MoCo's detection protocol).
Launch:    tools/eval.sh CKPT coco --tasks instances       (8 GPUs: tools/dist.sh 8 CKPT coco --tasks instances)
Expected:  full: box/mask AP with ResNet-50: supervised 39.7/35.9, random 32.8/29.9, MoCo v1 39.4/35.6 (PixPro's
           README). small and mini: a falling loss; the data are too small for a mask AP above a few percent.
"""

from transfer.openmmlab.standard.detectors import detector, pyramid_rcnn
from transfer.openmmlab.standard.pipelines import FLIP, detection_data, resized
from transfer.openmmlab.standard.schedules import drops, schedule, sgd
from transfer.openmmlab.standard.sizes import MINI_DETECTION, MINI_PYRAMID, SMALL_DETECTION, SMALL_PYRAMID

TASK = "instances"
SIZES = {
    "full": {},
    "small": {**SMALL_DETECTION, **SMALL_PYRAMID, "mask_convs": 2, "rate": 0.01},
    "mini": {**MINI_DETECTION, **MINI_PYRAMID, "mask_convs": 2},
}
PASSED_TO = pyramid_rcnn


def config(
    *,
    image_scale=(1333, 800),
    images_per_step=16,
    steps=90_000,
    rate=0.02,
    warmup=500,
    milestones=(2 / 3, 8 / 9),
    smallest=32,
    test_batch=1,
    mask_convs=4,
    **pyramid,
):
    """Return the training as a config."""
    augmentation = [resized(image_scale), FLIP]
    return dict(
        task=dict(images_per_step=images_per_step),
        model=detector("MaskRCNN", pyramid_rcnn(mask_convs=mask_convs, **pyramid)),
        **detection_data(augmentation, image_scale, masks=True, test_batch=test_batch, smallest=smallest),
        **schedule(steps, sgd(rate, 1e-4), drops(steps, milestones, warmup)),
    )
