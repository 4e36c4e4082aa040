"""DeepLab-ASPP-L, as JFT-300M was judged (Sun et al., ICCV 2017, section 5.3).

Data:      VOC 2012 trainaug (10,582 images with the SBD annotations) and val (1,449), 21 classes, 255 ignored.
Schedule:  full: 30,000 steps of 6 crops of 513x513, SGD, rate 1e-3, polynomial decay of power 0.9 to 0, weight decay
           5e-4; images at their own size (500 pixels a side at most) times 0.5 to 1.5, flips. Tested at that size
           inside 513x513, one scale, no flip, no CRF. small: 150 steps of 4 crops of 241x161. mini: 150 steps of 4
           crops of 129x129, rates 1, 2, 4, 6; both at rate 0.01.
Backbone:  output stride 8 by dilation, so that 65x65 cells lie at the pixels 0, 8, ..., 512 of a crop; SyncBN.
           Convolutional backbones only. The four branches are all that follows conv5: rates 6, 12, 18, 24, class scores
           summed. The paper states one rate for all layers, and neither scales nor norm policy: those are DeepLab's
           and this leaderboard's.
Launch:    tools/eval.sh CKPT jft-protocol --tasks segmentation      (6 GPUs: tools/dist.sh 6 CKPT jft-protocol)
Expected:  full: for ResNet-101 the paper prints gains over ImageNet alone of 1.7 mIoU (JFT-300M) and 2.9 (ImageNet and
           JFT-300M); no published value is known to us for this exact form. small and mini: a falling loss.
"""

from transfer.openmmlab.standard.pipelines import segmentation_data
from transfer.openmmlab.standard.schedules import polynomial, schedule, sgd
from transfer.openmmlab.standard.segmenters import segmenter
from transfer.openmmlab.standard.sizes import MINI_SEGMENTATION

TASK = "segmentation"
SHORT = {"images_per_step": 4, "steps": 150, "rate": 0.01, "most_of_one_class": 0.9}
SIZES = {
    "full": {},
    "small": {**SHORT, "crop": (161, 241), "test_size": (241, 321), "image_scale": (320, 240), "ratios": (0.75, 1.5)},
    "mini": {
        **MINI_SEGMENTATION, **SHORT, "crop": (129, 129), "test_size": (129, 129), "dilations": (1, 2, 4, 6),
    },
}  # fmt: skip
PASSED_TO = segmentation_data


def config(
    *,
    crop=(513, 513),
    test_size=(513, 513),
    image_scale=(500, 500),
    ratios=(0.5, 1.5),
    most_of_one_class=1.0,
    images_per_step=6,
    steps=30_000,
    rate=1e-3,
    dilations=(6, 12, 18, 24),
    **data,
):
    """Return the training as a config."""
    head = dict(type="DeepLabASPPLHead", dilations=dilations, align_corners=True)
    images = dict(crop=crop, image_scale=image_scale, ratios=ratios, most_of_one_class=most_of_one_class)
    return dict(
        task=dict(images_per_step=images_per_step, stride=8),
        model=segmenter(head, crop, backbone=dict(output_stride=8), test_size=test_size),
        **segmentation_data(**images, **data),
        **schedule(steps, sgd(rate, 5e-4), polynomial(steps, 0.9, 0.0)),
    )
