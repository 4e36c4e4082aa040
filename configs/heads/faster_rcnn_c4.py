"""Faster R-CNN C4: MoCo's detection protocol on PASCAL VOC, and that of JFT-300M's paper on COCO.

Data:      full: VOC 2007 and 2012 trainval (16,551 images) and 2007 test (4,952), 20 classes; difficult boxes are
           trained on, as detectron2 does, and do not count in the scores. jft: COCO 2017; the paper (Sun et al., ICCV
           2017) reports on 8,000 images of 2014's val and on test-dev, so its numbers are no exact reference.
Head:      the backbone ends with conv4 (stride 16); regions of 14x14 cells go through conv5, which comes from the
           checkpoint, too, and a norm (not in jft), are averaged and classified.
Schedule:  full: 24,000 steps of 16 images, SGD, rate 0.02 with 100 steps of warm-up, divided by 10 at 18,000 and
           22,000; shortest side 480 to 800 in steps of 32, at most 1333. small: 300 steps of 4 images, rate 0.01. mini:
           240 steps of 8 images of 128x128.
           jft: 375,000 steps of 8 images, rate 0.0032, divided by 10 at 312,500: the paper's 3 million asynchronous
           steps of one image at rate 0.0004, divided by 10 at 2.5 million, with the rate scaled by the step's images.
           Images are scaled to 1024 pixels at most; 64 anchors and 256 regions of an image are trained on.
Backbone:  all of it is fine-tuned, SyncBN in backbone and head; in jft with the checkpoint's batch statistics. RoIAlign
           stands for the paper's cropping, and the anchors are detectron2's 15 of stride 16, which it does not state.
Launch:    tools/eval.sh CKPT voc      and      tools/eval.sh CKPT jft-protocol --tasks detection
Expected:  full: AP50/AP/AP75 by the 2007 rule with ResNet-50 (MoCo's detection/README.md, mean of 5): supervised
           81.3/53.5/58.8, MoCo v2 (800 epochs) 82.5/57.4/64.0, random 60.2/33.8/33.1. jft: AP 34.3 on test-dev for
           ResNet-101 from ImageNet, 37.4 after ImageNet and JFT-300M (the paper's Table). small and mini: a falling
           loss; stride 16 is coarse for such images.
"""

from transfer.openmmlab.standard.detectors import detector, last_stage_rcnn
from transfer.openmmlab.standard.pipelines import FLIP, detection_data, resized, resized_to_one_of, shorter_sides
from transfer.openmmlab.standard.schedules import drops, schedule, sgd
from transfer.openmmlab.standard.sizes import MINI_DETECTION, SMALL_DETECTION, SMALL_LAST_STAGE

SCALES = shorter_sides(480, 800)
TASK = "detection"
SIZES = {
    "full": {},
    "small": {**SMALL_DETECTION, **SMALL_LAST_STAGE, "scales": (), "rate": 0.01},
    "mini": {**MINI_DETECTION, **SMALL_LAST_STAGE, "scales": ()},
    "jft": {
        "image_scale": (1024, 1024), "scales": (),
        "images_per_step": 8, "steps": 375_000, "rate": 0.0032, "warmup": 500, "milestones": (5 / 6,),
        "norm": "eval", "extra_norm": False,
        "anchors": 64, "regions": 256, "proposals": (6000, 600), "test_proposals": (6000, 300),
    },
}  # fmt: skip
PASSED_TO = last_stage_rcnn


def config(
    *,
    image_scale=(1333, 800),
    scales=SCALES,
    images_per_step=16,
    steps=24_000,
    rate=0.02,
    warmup=100,
    milestones=(18 / 24, 22 / 24),
    norm="sync",
    smallest=32,
    test_batch=1,
    **regions,
):
    """Return the training as a config; no `scales` is `image_scale` alone."""
    augmentation = [resized_to_one_of(scales) if scales else resized(image_scale), FLIP]
    return dict(
        task=dict(images_per_step=images_per_step),
        model=detector("FasterRCNN", last_stage_rcnn(mask_width=0, **regions), backbone=dict(norm=norm), divisor=16),
        **detection_data(augmentation, image_scale, test_batch=test_batch, smallest=smallest),
        **schedule(steps, sgd(rate, 1e-4), drops(steps, milestones, warmup)),
    )
