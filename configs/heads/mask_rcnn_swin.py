"""Mask R-CNN the way of Swin transformers (Liu et al., ICCV 2021): three times as long, many scales.

Data:      COCO 2017 instances, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Schedule:  full: 263,850 steps of 16 images (36 epochs) with a shorter side of 480 to 800 pixels, half of them cropped
           before, AdamW, rate 1e-4 with 1,000 steps of warm-up, divided by 10 at 197,890 and 241,860 (epochs 27 and
           33), weight decay 0.05 but for norms, biases and positions. small: 300 steps of 4 images of 240 to 320
           pixels. mini: 240 steps of 8 images of 96 to 128 pixels.
Backbone:  all of it is fine-tuned; batch norms, where there are any, over the global batch (SyncBN). No stochastic
           depth, so that the result does not depend on the number of processes (Swin's has 0.2).
Launch:    tools/eval.sh CKPT fdsl-protocol --tasks swin   (8 GPUs: tools/dist.sh 8 CKPT fdsl-protocol --tasks swin)
Expected:  full: box/mask AP of FDSL's table, whose schedule is not stated: ImageNet-1k 48.2/43.1, ExFractalDB-1k
           48.0/42.8, RCDB-1k 47.4/42.2, scratch 42.2/38.5 (Kataoka et al., CVPR 2022). small and mini: a falling loss.
"""

from transfer.openmmlab.standard.detectors import detector, pyramid_rcnn
from transfer.openmmlab.standard.pipelines import FLIP, detection_data, half_cropped, shorter_sides
from transfer.openmmlab.standard.schedules import drops, layer_decay, schedule
from transfer.openmmlab.standard.sizes import MINI_DETECTION, MINI_PYRAMID, SMALL_DETECTION, SMALL_PYRAMID

SCALES = shorter_sides(480, 800)
TASK = "instances"
SIZES = {
    "full": {},
    "small": {
        **SMALL_DETECTION, **SMALL_PYRAMID, "mask_convs": 2, "rate": 2e-4,
        "scales": ((240, 240), (280, 280), (320, 320)), "before_crop": (), "crop": (192, 300),
    },
    "mini": {
        **MINI_DETECTION, **MINI_PYRAMID, "mask_convs": 2, "rate": 1e-3,
        "scales": ((96, 96), (112, 112), (128, 128)), "before_crop": (), "crop": (64, 96),
    },
}  # fmt: skip
PASSED_TO = pyramid_rcnn


def config(
    *,
    image_scale=(1333, 800),
    scales=SCALES,
    before_crop=((4200, 400), (4200, 500), (4200, 600)),
    crop=(384, 600),
    images_per_step=16,
    steps=263_850,
    rate=1e-4,
    warmup=1_000,
    milestones=(197_890 / 263_850, 241_860 / 263_850),
    smallest=32,
    test_batch=1,
    mask_convs=4,
    **pyramid,
):
    """Return the training as a config."""
    augmentation = [FLIP, half_cropped(scales, before_crop, crop)]
    return dict(
        task=dict(images_per_step=images_per_step),
        model=detector("MaskRCNN", pyramid_rcnn(mask_convs=mask_convs, **pyramid)),
        **detection_data(augmentation, image_scale, masks=True, test_batch=test_batch, smallest=smallest),
        **schedule(steps, layer_decay(rate, 0.05, 1.0), drops(steps, milestones, warmup)),
    )
