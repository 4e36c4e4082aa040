"""A linear segmenter on the frozen backbone's last map.

Data:      VOC 2012 trainaug (10,582 images with the SBD annotations) and val (1,449), 21 classes, 255 ignored; ADE20K
           scene parsing, 150 classes: 20,210 training and 2,000 validation images.
Schedule:  full: 40,000 steps of 16 crops of 512x512 (60 epochs of VOC, 32 of ADE20K), AdamW, rate 1e-3 with 1,500 steps
           of warm-up, linear decay to 0, weight decay 1e-4; scales 0.5 to 2, flips. Tested at full size, one scale, no
           flip. small: 300 steps of 8 crops of 320x240. mini: 200 steps of 8 crops of 128x128.
Backbone:  nothing of it is tuned (`--trunk full` tunes it: another protocol), and every backbone keeps its own stride:
           the score tells what its features say in place, ViTs of small patches at an advantage. A batch
           normalisation and a 1x1 convolution are all that is trained.
Launch:    tools/eval.sh CKPT voc-seg --tasks linear       (8 GPUs: tools/dist.sh 8 CKPT voc-seg --tasks linear)
Expected:  no published value is known to us for this exact form.
"""

from transfer.openmmlab.standard.pipelines import segmentation_data
from transfer.openmmlab.standard.schedules import adamw, polynomial, schedule
from transfer.openmmlab.standard.segmenters import segmenter
from transfer.openmmlab.standard.sizes import MINI_SEGMENTATION, SMALL_SEGMENTATION

TASK = "segmentation"
SHORT = {"images_per_step": 8, "warmup": 20, "start": 0.01}
SIZES = {
    "full": {},
    "small": {**SMALL_SEGMENTATION, **SHORT, "steps": 300},
    "mini": {**MINI_SEGMENTATION, **SHORT, "steps": 200},
}
PASSED_TO = segmentation_data


def config(
    *,
    crop=(512, 512),
    image_scale=(2048, 512),
    images_per_step=16,
    steps=40_000,
    rate=1e-3,
    warmup=1_500,
    start=1e-6,
    **data,
):
    """Return the training as a config."""
    return dict(
        task=dict(images_per_step=images_per_step),
        model=segmenter(dict(type="LinearHead"), crop, backbone=dict(frozen_stages="all")),
        **segmentation_data(crop=crop, image_scale=image_scale, **data),
        **schedule(steps, adamw(rate, 1e-4), polynomial(steps, 1.0, 0.0, warmup, start)),
    )
