"""Faster R-CNN with a feature pyramid, the 1x schedule.

Data:      COCO 2017 detection, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Schedule:  full: 90,000 steps of 16 images (12.3 epochs), SGD, rate 0.02 with 500 steps of warm-up, divided by 10 at
           60,000 and 80,000 (detectron2's 1x: 90k steps). small: 300 steps of 4 images, rate 0.01, a narrow pyramid.
           mini: 240 steps of 8 images of 128x128.
Backbone:  all of it is fine-tuned; batch statistics are taken over the global batch (SyncBN), so that backbones whose
           statistics differ, and the random control, are treated alike (MoCo's detection protocol).
Launch:    tools/eval.sh CKPT coco --tasks detection       (8 GPUs: tools/dist.sh 8 CKPT coco --tasks detection)
Expected:  full: box AP 37.4 for ImageNet-supervised ResNet-50 with frozen BatchNorm (mmdet 3 model zoo); no published
           value is known to us for this exact norm policy. mini: AP about 0.1 to 0.3 for a ResNet-18.
"""

from transfer.openmmlab.standard.detectors import detector, pyramid_rcnn
from transfer.openmmlab.standard.pipelines import FLIP, detection_data, resized
from transfer.openmmlab.standard.schedules import drops, schedule, sgd
from transfer.openmmlab.standard.sizes import MINI_DETECTION, MINI_PYRAMID, SMALL_DETECTION, SMALL_PYRAMID

TASK = "detection"
SIZES = {
    "full": {},
    "small": {**SMALL_DETECTION, **SMALL_PYRAMID, "rate": 0.01},
    "mini": {**MINI_DETECTION, **MINI_PYRAMID},
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
    **pyramid,
):
    """Return the training as a config."""
    augmentation = [resized(image_scale), FLIP]
    return dict(
        task=dict(images_per_step=images_per_step),
        model=detector("FasterRCNN", pyramid_rcnn(mask_convs=0, **pyramid)),
        **detection_data(augmentation, image_scale, test_batch=test_batch, smallest=smallest),
        **schedule(steps, sgd(rate, 1e-4), drops(steps, milestones, warmup)),
    )
