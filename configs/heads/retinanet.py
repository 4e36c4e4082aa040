"""RetinaNet (Lin et al., ICCV 2017), the 1x schedule: one stage, nine anchors a cell, focal loss.

Data:      COCO 2017 detection, train2017 (117,266 images with boxes) and val2017 (5,000), 80 classes.
Head:      a pyramid of strides 8 to 128 (the last two by convolutions of the backbone's last map), two towers of four
           convolutions without norms; anchors of three shapes and three sizes from 4 cells on; an anchor is positive
           from an IoU of 0.5 and negative below 0.4; focal loss (alpha 0.25, gamma 2) and L1 loss, both divided by the
           step's positives.
Schedule:  full: 90,000 steps of 16 images (12.3 epochs), SGD, rate 0.01 with 500 steps of warm-up, divided by 10 at
           60,000 and 80,000. small: 300 steps of 4 images, rate 0.005, a narrow head of two convolutions. mini: 240
           steps of 8 images of 128x128, as narrow.
Backbone:  all of it is fine-tuned; batch statistics are taken over the global batch (SyncBN). A backbone of one
           resolution gets a simple feature pyramid (ViTDet) of the same strides.
Launch:    tools/eval.sh CKPT coco-one-stage --tasks retinanet      (8 GPUs: tools/dist.sh 8 CKPT coco-one-stage)
Expected:  full: box AP 36.5 for ImageNet-supervised ResNet-50 with frozen BatchNorm and stem (mmdet 3 model zoo,
           retinanet_r50_fpn_1x_coco); no published value is known to us for this norm policy. mini: a falling loss.
"""

from transfer.openmmlab.standard.detectors import detector
from transfer.openmmlab.standard.pipelines import FLIP, detection_data, resized
from transfer.openmmlab.standard.schedules import drops, schedule, sgd
from transfer.openmmlab.standard.sizes import MINI_DETECTION, SMALL_DETECTION

TASK = "detection"
SIZES = {
    "full": {},
    "small": {**SMALL_DETECTION, "width": 64, "convolutions": 2, "anchor": 2, "rate": 0.005},
    "mini": {**MINI_DETECTION, "width": 64, "convolutions": 2, "anchor": 2},
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
    anchor=4,
):
    """Return the training as a config; the smallest anchors have sides of `anchor` cells."""
    strides = [8, 16, 32, 64, 128]
    anchors = dict(octave_base_scale=anchor, scales_per_octave=3, ratios=[0.5, 1.0, 2.0], strides=strides)
    head = dict(
        type="RetinaHead",
        in_channels=width,
        feat_channels=width,
        stacked_convs=convolutions,
        anchor_generator=dict(type="AnchorGenerator", **anchors),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
    )
    assigner = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1)
    found = dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100)
    parts = dict(
        neck=dict(type="FPN", out_channels=width, start_level=1, add_extra_convs="on_input", num_outs=len(strides)),
        bbox_head=head,
        train_cfg=dict(assigner=assigner, sampler=dict(type="PseudoSampler"), allowed_border=-1, pos_weight=-1),
        test_cfg=dict(nms_pre=1000, min_bbox_size=0, **found),
    )
    return dict(
        task=dict(images_per_step=images_per_step),
        model=detector("RetinaNet", parts),
        **detection_data([resized(image_scale), FLIP], image_scale, test_batch=test_batch, smallest=smallest),
        **schedule(steps, sgd(rate, 1e-4), drops(steps, milestones, warmup)),
    )
