"""DeepLab segmentation (atrous spatial pyramid pooling).

Data:      VOC 2012 trainaug (10,582 images with the SBD annotations) and val (1,449), 21 classes, 255 ignored.
Schedule:  full: 30,000 steps of 16 crops of 513x513 (45 epochs), SGD, rate 0.01, polynomial decay of power 0.9, weight
           decay 5e-4; scales 0.5 to 2, flips. Tested at full size, one scale, no flip. small: 300 steps of 8 crops of
           320x240. mini: 200 steps of 8 crops of 128x128; both at rate 0.02 and output stride 16.
Backbone:  output stride 8 by dilation (convolutional backbones that allow it), SyncBN. No dropout and no auxiliary
           head, so that the result does not depend on the number of processes.
Launch:    tools/eval.sh CKPT voc-seg                     (8 GPUs: tools/dist.sh 8 CKPT voc-seg)
Expected:  full: mIoU 76.2 for ImageNet-supervised ResNet-50-v1c after 20k steps with an auxiliary head (mmseg model
           zoo, deeplabv3_r50-d8_4xb4-20k_voc12aug-512x512); no published value is known to us for this exact form.
           mini: mIoU about 0.3 to 0.5 for a ResNet-18.
"""

from transfer.openmmlab.standard.pipelines import segmentation_data
from transfer.openmmlab.standard.schedules import polynomial, schedule, sgd
from transfer.openmmlab.standard.segmenters import CONVOLUTIONS, segmenter
from transfer.openmmlab.standard.sizes import MINI_SEGMENTATION, SMALL_SEGMENTATION

TASK = "segmentation"
NARROW = {"images_per_step": 8, "rate": 0.02, "output_stride": 16, "width": 64}
SIZES = {
    "full": {},
    "small": {**SMALL_SEGMENTATION, **NARROW, "steps": 300, "dilations": (1, 3, 6, 9)},
    "mini": {**MINI_SEGMENTATION, **NARROW, "steps": 200, "dilations": (1, 2, 4, 6)},
}
PASSED_TO = segmentation_data


def config(
    *,
    crop=(513, 513),
    image_scale=(2048, 513),
    images_per_step=16,
    steps=30_000,
    rate=0.01,
    output_stride=8,
    width=256,
    dilations=(1, 12, 24, 36),
    **data,
):
    """Return the training as a config."""
    head = dict(type="ASPPHead", channels=width, dilations=dilations, **CONVOLUTIONS)
    return dict(
        task=dict(images_per_step=images_per_step),
        model=segmenter(head, crop, backbone=dict(output_stride=output_stride)),
        **segmentation_data(crop=crop, image_scale=image_scale, **data),
        **schedule(steps, sgd(rate, 5e-4), polynomial(steps, 0.9, 1e-4)),
    )
