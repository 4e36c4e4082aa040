"""Poses that repeat a better one of the same image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np


def suppress_poses(poses: Sequence[dict[str, Any]], threshold: float, sigmas: np.ndarray) -> list[dict[str, Any]]:
    """Greedy suppression by object keypoint similarity (Papandreou et al., CVPR 2017, section 3.3), image by image.

    Poses are COCO results, `area` in addition; `sigmas` `(K,)` are the joints' tolerances. A pose stays unless its
    similarity to a better one that stays, with the mean of both areas, exceeds `threshold`. Best first within an image.
    """
    by_image = groupby(sorted(poses, key=itemgetter("image_id")), key=itemgetter("image_id"))
    return [pose for _, group in by_image for pose in _suppress(list(group), threshold, sigmas)]


def _suppress(poses: list[dict[str, Any]], threshold: float, sigmas: np.ndarray) -> list[dict[str, Any]]:
    from mmpose.evaluation.functional.nms import oks_nms  # boxes are written where mmpose is not installed

    arrays = [{**pose, "keypoints": np.asarray(pose["keypoints"])} for pose in poses]
    return [poses[index] for index in oks_nms(arrays, threshold, sigmas)]
