"""Top-down pose by heatmaps (simple baselines).

Data:      COCO 2017 person keypoints, 17 joints; train2017 persons with joints, val2017 persons in their annotated
           boxes (given boxes: no person detector decides the ranking).
Schedule:  full: 61,500 steps of 512 persons cropped to 256x192 (210 epochs of 149,813), Adam, rate 5e-4 with 500
           steps of warm-up, divided by 10 at 49,800 and 58,600 (epochs 170 and 200). small: 300 steps of 16 persons
           cropped to 128x96, rate 1e-3. mini: 200 steps of 32 persons cropped to 96x64, rate 2e-3.
Backbone:  all of it is fine-tuned, SyncBN; deconvolutions lift the last map to stride 4.
Launch:    tools/eval.sh CKPT coco --tasks pose            (8 GPUs: tools/dist.sh 8 CKPT coco --tasks pose)
Expected:  full: AP 71.8 for ImageNet-supervised ResNet-50 with *detected* boxes and flip test (mmpose 1 model zoo,
           td-hm_res50_8xb64-210e_coco-256x192); given boxes score higher. mini: AP about 0.05 to 0.2 for a ResNet-18.
"""

from transfer.openmmlab.standard.pipelines import pose_data
from transfer.openmmlab.standard.poses import augmented, flipping, heatmaps, pose_estimator
from transfer.openmmlab.standard.schedules import adam, drops, schedule
from transfer.openmmlab.standard.sizes import MINI_POSE, SMALL_POSE

TASK = "pose"
NARROW = {"width": 64}
SIZES = {
    "full": {},
    "small": {**SMALL_POSE, **NARROW, "rate": 1e-3},
    "mini": {**MINI_POSE, **NARROW, "rate": 2e-3},
}


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
    width=256,
):
    """Return the training as a config."""
    codec = heatmaps("MSRAHeatmap", crop, sigma)
    loss = dict(type="KeypointMSELoss", use_target_weight=True)
    head = dict(type="HeatmapHead", deconv_width=width, loss=loss, decoder=codec)
    return dict(
        task=dict(images_per_step=images_per_step),
        model=pose_estimator(head, flipping(flip_test, shift=True)),
        **pose_data(codec, augmented(half_bodies)),
        **schedule(steps, adam(rate), drops(steps, milestones, warmup, start)),
    )
