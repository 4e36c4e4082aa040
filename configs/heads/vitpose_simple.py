"""Top-down pose by ViTPose's simple decoder (Xu et al., NeurIPS 2022, section 3.1).

Data:      COCO 2017 person keypoints, 17 joints; train2017 persons with joints, val2017 persons in their annotated
           boxes (given boxes: no person detector decides the ranking).
Schedule:  full: 61,500 steps of 512 persons cropped to 256x192 (210 epochs of 149,813), AdamW, rate 5e-4 with 500
           steps of warm-up, divided by 10 at 49,800 and 58,600 (epochs 170 and 200), weight decay 0.1, gradients
           clipped to a norm of 1, rates of the backbone's blocks 0.75 times those of the block above. small: 300 steps
           of 16 persons cropped to 128x96. mini: 200 steps of 32 persons cropped to 96x64, rate 1e-3.
Backbone:  all of it is fine-tuned, SyncBN. ReLU, bilinear upsampling to stride 4 and one 3x3 convolution are all that
           follows: by 4 from a plain ViT of patch 16, by 8 from the last map of a hierarchical backbone, whose finer
           maps are not used (pose_heatmap learns its upsampling). Unlike ViTPose's, the map is the one before a ViT's
           final norm.
Launch:    tools/eval.sh CKPT coco-pose --tasks vitpose-simple
Expected:  no published value is known to us for this exact form.
"""

from transfer.openmmlab.standard.pipelines import pose_data
from transfer.openmmlab.standard.poses import augmented, flipping, heatmaps, pose_estimator
from transfer.openmmlab.standard.schedules import drops, layer_decay, schedule
from transfer.openmmlab.standard.sizes import MINI_POSE, SMALL_POSE

TASK = "pose"
SIZES = {"full": {}, "small": SMALL_POSE, "mini": {**MINI_POSE, "rate": 1e-3}}


def config(
    *,
    crop=(192, 256),
    sigma=2.0,
    half_bodies=True,
    flip_test=True,
    images_per_step=512,
    steps=61_500,
    rate=5e-4,
    warmup=500,
    start=0.001,
    milestones=(49_800 / 61_500, 58_600 / 61_500),
):
    """Return the training as a config."""
    codec = heatmaps("UDPHeatmap", crop, sigma)
    upsampling = dict(deconv_out_channels=(), deconv_kernel_sizes=(), final_layer=dict(kernel_size=3, padding=1))
    loss = dict(type="KeypointMSELoss", use_target_weight=True)
    head = dict(type="HeatmapHead", **upsampling, loss=loss, decoder=codec)
    neck = dict(type="FeatureMapProcessor", select_index=-1, apply_relu=True)
    clipped = dict(clip_grad=dict(max_norm=1.0, norm_type=2))
    return dict(
        task=dict(images_per_step=images_per_step),
        model=pose_estimator(head, flipping(flip_test, shift=False), neck=neck),
        **pose_data(codec, augmented(half_bodies), use_udp=True),
        **schedule(steps, layer_decay(rate, 0.1, 0.75) | clipped, drops(steps, milestones, warmup, start)),
    )
