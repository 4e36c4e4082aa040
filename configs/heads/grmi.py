"""G-RMI pose (Papandreou et al., CVPR 2017), as JFT-300M was judged (Sun et al., ICCV 2017).

Data:      COCO 2017 person keypoints, 17 joints; train2017 persons with joints, val2017 persons in their annotated
           boxes (given boxes: no person detector decides the ranking), crops of 353x257 pixels.
Schedule:  full: 450,000 steps of 24 persons, Adam, rate 5e-4 with 500 steps of warm-up, divided by 10 at 250,000; boxes
           enlarged by 1.25 times 0.8 to 1.2, flips. No flip in the test. small: 200 steps of 8 persons cropped to
           129x97. mini: 200 steps of 8 persons cropped to 89x65; both at rate 1e-3.
Backbone:  output stride 8 by dilation, SyncBN, all of it fine-tuned; convolutional backbones only. A 1x1 convolution
           gives for each joint the logit of a disc of 25 pixels (small 9, mini 6) and the offset to the joint,
           upsampled to the crop; losses weighted 4 and 1. Joints are peaks of Hough votes; a pose's score is the mean
           of its joints' peaks; poses of similarity above 0.9 to a better one are left out.
Ours:      24 persons a step, optimiser, rate and the threshold of 0.9 (mmpose's), which the descriptions at hand do not
           state. Without the paper's second loss on layer 50, its averaged weights and its data from outside COCO.
Launch:    tools/eval.sh CKPT jft-protocol --tasks pose    (8 GPUs: tools/dist.sh 8 CKPT jft-protocol --tasks pose)
Expected:  no published value is known to us for this exact form.
"""

from transfer.openmmlab.standard.pipelines import pose_data
from transfer.openmmlab.standard.poses import augmented, pose_estimator
from transfer.openmmlab.standard.schedules import adam, drops, schedule

TASK = "pose"
SHORT = {"images_per_step": 8, "steps": 200, "rate": 1e-3, "warmup": 20, "start": 0.01, "milestones": (0.75,)}
SIZES = {
    "full": {},
    "small": {**SHORT, "crop": (97, 129), "radius": 9},
    "mini": {**SHORT, "crop": (65, 89), "radius": 6},
}


def config(
    *,
    crop=(257, 353),
    radius=25,
    images_per_step=24,
    steps=450_000,
    rate=5e-4,
    warmup=500,
    start=0.001,
    milestones=(5 / 9,),
):
    """Return the training as a config."""
    codec = dict(type="HoughVoting", input_size=crop, radius=radius)
    head = dict(type="GRMIHead", decoder=codec, heatmap_weight=4.0, offset_weight=1.0)
    return dict(
        task=dict(images_per_step=images_per_step, stride=8),
        writer=dict(minimum_joint_score=None, oks_nms=0.9),
        model=pose_estimator(head, dict(flip_test=False), backbone=dict(output_stride=8)),
        **pose_data(codec, augmented(half_bodies=False)),
        **schedule(steps, adam(rate), drops(steps, milestones, warmup, start)),
    )
