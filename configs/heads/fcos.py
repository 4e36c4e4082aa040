"""FCOS (Tian et al., ICCV 2019), the 1x schedule with the authors' improvements: one stage, no anchors.

Data:      COCO 2017 detection, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Head:      a pyramid of strides 8 to 128 (the last two by convolutions of the one before), two towers of four
           convolutions with group norms; a cell within 1.5 strides of an object's centre and inside its box is
           positive on the level whose range holds its largest distance to a side (to 64, 128, 256, 512, infinity).
           Focal loss (alpha 0.25, gamma 2) divided by the step's positives, GIoU loss weighted by centerness, which is
           predicted from the boxes' tower.
Schedule:  full: 90,000 steps of 16 images (12.3 epochs), SGD, rate 0.01 with 500 steps of warm-up from a third, divided
           by 10 at 60,000 and 80,000; biases at twice the rate without weight decay. small: 300 steps of 4 images,
           rate 0.005, a narrow head of two convolutions, ranges to 32, 64, ... mini: 240 steps of 8 images of 128x128,
           as narrow.
Backbone:  all of it is fine-tuned; batch statistics are taken over the global batch (SyncBN). A backbone of one
           resolution gets a simple feature pyramid (ViTDet) of the same strides.
Launch:    tools/eval.sh CKPT coco-one-stage --tasks fcos           (8 GPUs: tools/dist.sh 8 CKPT coco-one-stage)
Expected:  full: box AP 38.7 for ImageNet-supervised ResNet-50 with frozen BatchNorm and stem (mmdet 3 model zoo,
           fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco); no published value is known to us for
           this norm policy. mini: a falling loss.
"""

from itertools import pairwise

from transfer.openmmlab.standard.detectors import detector
from transfer.openmmlab.standard.pipelines import FLIP, detection_data, resized
from transfer.openmmlab.standard.schedules import drops, schedule, sgd
from transfer.openmmlab.standard.sizes import MINI_DETECTION, SMALL_DETECTION

TASK = "detection"
SIZES = {
    "full": {},
    "small": {**SMALL_DETECTION, "width": 64, "convolutions": 2, "finest": 32, "rate": 0.005},
    "mini": {**MINI_DETECTION, "width": 64, "convolutions": 2, "finest": 32},
}


def config(
    *,
    image_scale=(1333, 800),
    images_per_step=16,
    steps=90_000,
    rate=0.01,
    warmup=500,
    milestones=(2 / 3, 8 / 9),
    smallest=32,
    test_batch=1,
    width=256,
    convolutions=4,
    finest=64,
):
    """Return the training as a config; distances up to `finest` pixels are for the finest level, twice for the next."""
    strides = [8, 16, 32, 64, 128]
    ends = [-1, *(finest * 2**level for level in range(len(strides) - 1)), 1e8]
    head = dict(
        type="FCOSHead",
        in_channels=width,
        feat_channels=width,
        stacked_convs=convolutions,
        strides=strides,
        regress_ranges=list(pairwise(ends)),
        center_sampling=True,
        norm_on_bbox=True,
        centerness_on_reg=True,
        conv_bias=True,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    )
    extra = dict(start_level=1, add_extra_convs="on_output", relu_before_extra_convs=True)
    found = dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100)
    parts = dict(
        neck=dict(type="FPN", out_channels=width, num_outs=len(strides), **extra),
        bbox_head=head,
        test_cfg=dict(nms_pre=1000, min_bbox_size=0, **found),
    )
    biases = dict(bias_lr_mult=2.0, bias_decay_mult=0.0)
    return dict(
        task=dict(images_per_step=images_per_step),
        model=detector("FCOS", parts),
        **detection_data([resized(image_scale), FLIP], image_scale, test_batch=test_batch, smallest=smallest),
        **schedule(steps, dict(sgd(rate, 1e-4), paramwise_cfg=biases), drops(steps, milestones, warmup, start=1 / 3)),
    )
