"""Fully convolutional segmentation at stride 8 (FCN-D8).

Data:      VOC 2012 trainaug (10,582 images with the SBD annotations) and val (1,449), 21 classes, 255 ignored.
Schedule:  full: 30,000 steps of 16 crops of 513x513 (45 epochs), SGD, rate 0.01, polynomial decay of power 0.9, weight
           decay 5e-4; scales 0.5 to 2, flips. Tested at full size, one scale, no flip. small: 150 steps of 4 crops of
           240x160. mini: 150 steps of 4 crops of 128x128, rate 0.02.
Backbone:  output stride 8 by dilation: convolutional backbones only; SyncBN. Two 3x3 convolutions, their output beside
           their input, then the classifier. No dropout and no auxiliary head, so that the result does not depend on
           the number of processes.
Launch:    tools/eval.sh CKPT voc-seg-d8                  (8 GPUs: tools/dist.sh 8 CKPT voc-seg-d8)
Expected:  no published value is known to us for this exact form.
"""

from transfer.openmmlab.standard.pipelines import segmentation_data
from transfer.openmmlab.standard.schedules import polynomial, schedule, sgd
from transfer.openmmlab.standard.segmenters import CONVOLUTIONS, segmenter
from transfer.openmmlab.standard.sizes import MINI_SEGMENTATION, SMALL_SEGMENTATION

TASK = "segmentation"
SHORT = {"images_per_step": 4, "steps": 150, "width": 64}
SIZES = {
    "full": {},
    "small": {**SMALL_SEGMENTATION, **SHORT, "crop": (160, 240), "image_scale": (320, 240), "ratios": (0.75, 1.5)},
    "mini": {**MINI_SEGMENTATION, **SHORT, "rate": 0.02},
}
PASSED_TO = segmentation_data


def config(*, crop=(513, 513), image_scale=(2048, 513), images_per_step=16, steps=30_000, rate=0.01, width=512, **data):
    """Return the training as a config."""
    head = dict(type="FCNHead", channels=width, num_convs=2, concat_input=True, **CONVOLUTIONS)
    return dict(
        task=dict(images_per_step=images_per_step, stride=8),
        model=segmenter(head, crop, backbone=dict(output_stride=8)),
        **segmentation_data(crop=crop, image_scale=image_scale, **data),
        **schedule(steps, sgd(rate, 5e-4), polynomial(steps, 0.9, 1e-4)),
    )
