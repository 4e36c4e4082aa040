"""Arguments that heads of one task type share at the sizes `small` and `mini`.

`small` is for a few dozen photographs in a quarter of an hour on two CPU cores, `mini` for the embedded data.
"""

from __future__ import annotations

from typing import Any

Arguments = dict[str, Any]

SMALL_DETECTION: Arguments = {
    "image_scale": (320, 320), "smallest": 8, "test_batch": 4,
    "images_per_step": 4, "steps": 300, "warmup": 50, "milestones": (0.8,),
}  # fmt: skip
MINI_DETECTION: Arguments = {
    "image_scale": (128, 128), "smallest": 8, "test_batch": 8,
    "images_per_step": 8, "steps": 240, "warmup": 40, "milestones": (5 / 6,),
}  # fmt: skip

SMALL_PYRAMID: Arguments = {
    "width": 64, "box_width": 256, "anchor": 4, "finest": 28,
    "anchors": 128, "regions": 128, "proposals": (500, 200), "test_proposals": (500, 200),
}  # fmt: skip
MINI_PYRAMID: Arguments = {
    **SMALL_PYRAMID, "box_width": 128,
    "anchors": 64, "regions": 64, "proposals": (500, 100), "test_proposals": (500, 100),
}  # fmt: skip
SMALL_LAST_STAGE: Arguments = {
    "anchor_sides": (1, 2, 4, 8),
    "anchors": 64, "regions": 32, "proposals": (500, 100), "test_proposals": (500, 50),
}  # fmt: skip

SMALL_SEGMENTATION: Arguments = {
    "crop": (240, 320), "image_scale": (480, 360), "ratios": (0.6, 1.2), "most_of_one_class": 0.9, "test_batch": 4,
}  # fmt: skip
MINI_SEGMENTATION: Arguments = {
    "crop": (128, 128), "image_scale": (128, 128), "ratios": (0.8, 1.5), "most_of_one_class": 0.9, "test_batch": 8,
}  # fmt: skip

_SIMPLE_POSE: Arguments = {"sigma": 1.5, "half_bodies": False, "flip_test": False, "start": 0.01}
SMALL_POSE: Arguments = {
    **_SIMPLE_POSE, "crop": (96, 128), "images_per_step": 16, "steps": 300, "warmup": 30, "milestones": (11 / 15,),
}  # fmt: skip
MINI_POSE: Arguments = {
    **_SIMPLE_POSE, "crop": (64, 96), "images_per_step": 32, "steps": 200, "warmup": 20, "milestones": (0.7,),
}  # fmt: skip
