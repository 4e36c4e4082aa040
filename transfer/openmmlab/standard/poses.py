"""Top-down pose: one crop, one person, as mmpose has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = dict[str, Any]
JOINTS = 17


def pose_estimator(
    head: Mapping[str, Any],
    test: Mapping[str, Any],
    *,
    backbone: Mapping[str, Any] | None = None,
    neck: Mapping[str, Any] | None = None,
) -> Config:
    """Return a model of mmpose with this head for COCO's joints; `test` says whether crops are flipped, too."""
    return {
        "type": "TopdownPoseEstimator",
        "data_preprocessor": {"type": "PoseDataPreprocessor"},
        "backbone": {"type": "TransferBackbone", "frozen_stages": -1, "norm": "sync", **(backbone or {})},
        **({} if neck is None else {"neck": neck}),
        "head": {"out_channels": JOINTS, **head},
        "test_cfg": test,
    }


def heatmaps(kind: str, crop: tuple[int, int], sigma: float) -> Config:
    """Return a codec of heatmaps of a quarter of the crop's (width, height), with Gaussians of `sigma` cells."""
    width, height = crop
    return {"type": kind, "input_size": crop, "heatmap_size": (width // 4, height // 4), "sigma": sigma}


def flipping(flip: bool, *, shift: bool) -> Config:
    """Return how crops are tested: alone, or averaged with their mirror images (`shift`ed by a cell)."""
    return {"flip_test": flip, "flip_mode": "heatmap", "shift_heatmap": shift}


def augmented(half_bodies: bool) -> list[Config]:
    """Return how persons' boxes are varied: by mmpose's defaults with `half_bodies`, else by their scale alone."""
    if half_bodies:
        return [{"type": "RandomHalfBody"}, {"type": "RandomBBoxTransform"}]
    return [{"type": "RandomBBoxTransform", "shift_prob": 0.0, "scale_factor": (0.8, 1.2), "rotate_prob": 0.0}]
