"""UPerNet: all levels of the backbone, the segmenter of transformers' papers.

Data:      ADE20K scene parsing, 150 classes: 20,210 training and 2,000 validation images, 255 ignored.
Schedule:  full: 160,000 steps of 16 crops of 512x512 (127 epochs), AdamW, rate 6e-5 with 1,500 steps of warm-up, linear
           decay to 0, weight decay 0.01; scales 0.5 to 2, flips. Tested at full size, one scale, no flip. small: 200
           steps of 4 crops of 320x240. mini: 200 steps of 8 crops of 128x128; both narrow, at rate 5e-4.
Backbone:  all of it is fine-tuned, SyncBN; strides 4 to 32. The four maps of a plain ViT are resized by 4, 2, 1 and
           1/2 (BEiT's way). No dropout, stochastic depth or auxiliary head, so that the result does not depend on the
           number of processes.
Launch:    tools/eval.sh CKPT ade20k --tasks upernet       (8 GPUs: tools/dist.sh 8 CKPT ade20k --tasks upernet)
Expected:  no published value is known to us for this exact form.
"""

from transfer.openmmlab.standard.pipelines import segmentation_data
from transfer.openmmlab.standard.schedules import adamw, polynomial, schedule
from transfer.openmmlab.standard.segmenters import CONVOLUTIONS, segmenter
from transfer.openmmlab.standard.sizes import MINI_SEGMENTATION, SMALL_SEGMENTATION

TASK = "segmentation"
SHORT = {"steps": 200, "rate": 5e-4, "warmup": 20, "start": 0.01, "width": 64}
SIZES = {
    "full": {},
    "small": {**SMALL_SEGMENTATION, **SHORT, "images_per_step": 4},
    "mini": {**MINI_SEGMENTATION, **SHORT, "images_per_step": 8},
}
PASSED_TO = segmentation_data


def config(
    *,
    crop=(512, 512),
    image_scale=(2048, 512),
    images_per_step=16,
    steps=160_000,
    rate=6e-5,
    warmup=1_500,
    start=1e-6,
    width=512,
    **data,
):
    """Return the training as a config."""
    levels, pooling = [0, 1, 2, 3], (1, 2, 3, 6)
    head = dict(type="UPerHead", in_index=levels, channels=width, pool_scales=pooling, **CONVOLUTIONS)
    return dict(
        task=dict(images_per_step=images_per_step),
        model=segmenter(head, crop),
        **segmentation_data(crop=crop, image_scale=image_scale, **data),
        **schedule(steps, adamw(rate, 0.01, betas=(0.9, 0.999)), polynomial(steps, 1.0, 0.0, warmup, start)),
    )
