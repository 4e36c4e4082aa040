"""Boundary IoU (Cheng et al., CVPR 2021): overlap along the contours, to which the IoU of a large mask is blind.

The boundary region of a mask are its pixels with a pixel outside of it within a distance d by rows and columns. What
lies beyond the image, or does not count, is outside; d is 2 % of the image's diagonal, and at least 1. A class of label
maps is scored by the boundary regions of the whole data set; an instance by the smaller of its mask IoU and boundary
IoU, or by the former alone where the other is a crowd, as the authors' evaluation does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.cocoeval import COCOeval

from transfer.metrics.boxes import BOX_ORDER, BOX_SCORES
from transfer.metrics.coco import coco_engine, coco_stats
from transfer.metrics.coco_types import MASKS
from transfer.metrics.label_maps import LABEL_MAPS, Counts, read_pair
from transfer.metrics.masks import read_masks
from transfer.metrics.matching import pairs_of
from transfer.metrics.metric import Files, Floats, Metric, Rescorer, Scores
from transfer.metrics.rescoring import HEADLINE, coco_rescorer
from transfer.metrics.results_file import RESULTS_FILE
from transfer.metrics.semantic import class_ious, mean_of, resample_counts, score_counts

SHARE = 0.02
"""Of the image's diagonal."""

OUTSIDE = -1
"""Label of pixels that belong to no mask."""


def boundaries(labels: NDArray[Any], size: tuple[int, int]) -> NDArray[np.int16]:
    """Keep of (H, W) `labels` those near a contour, of an image of `size` (height, width); others become `OUTSIDE`.

    A window of equal labels, in which the least is the largest, is inside a mask; beyond the border nothing is.
    """
    reach = max(1, round(SHARE * float(np.hypot(*size))))
    framed = np.pad(labels.astype(np.int16), 1, constant_values=OUTSIDE)
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    near = cv2.erode(framed, window) != cv2.dilate(framed, window)
    return np.where(near, framed, OUTSIDE)[1:-1, 1:-1]


def score_boundaries(files: Files) -> Scores:
    """Score label maps by `mBIoU` and `BIoU/<class>`. Raises as `score_label_maps` does."""
    return score_counts(files, _count, _scores_of)


def score_boundary_masks(files: Files) -> Scores:
    """Score COCO results by `BOX_SCORES` of boundaries; sizes by the mask. Raises as `score_masks` does."""
    return dict(zip(BOX_SCORES, coco_stats(_engine(files)), strict=True))


class BoundaryEval(COCOeval):  # type: ignore[misc]
    """COCOeval of masks by boundary IoU where that is smaller than mask IoU."""

    def computeIoU(self, imgId: Any, catId: Any) -> Any:
        """Return overlaps (D, G) of the detections, best first, with the objects of an image and a category."""
        overlaps, objects, found = super().computeIoU(imgId, catId), self._gts[imgId, catId], self._dts[imgId, catId]
        if not len(overlaps):
            return overlaps
        ranked = sorted(found, key=lambda entry: -entry["score"])[: self.params.maxDets[-1]]
        crowd = [int(entry["iscrowd"]) for entry in objects]
        regions = ([_region(entry["segmentation"]) for entry in entries] for entries in (ranked, objects))
        return np.where(crowd, overlaps, np.minimum(overlaps, rle.iou(*regions, crowd)))


def _engine(files: Files) -> COCOeval:
    return coco_engine(MASKS, read_masks(files.predictions, files.truth), BoundaryEval)


def _region(mask: Any) -> Any:
    """The boundary region of run lengths; what is beyond the box around a mask is outside, which saves time."""
    x, y, width, height = map(int, rle.toBbox(mask))
    if not width * height:
        return mask
    pixels, part = rle.decode(mask), np.s_[y : y + height, x : x + width]
    pixels[part] = boundaries(pixels[part], mask["size"]) == 1
    return rle.encode(pixels)


def _count(files: Files, stem: str) -> Counts:
    """(3, C) pixels of boundary regions by class: of both, of the truth's, of the predicted."""
    pair = read_pair(files, stem)
    counted = pair.truth != files.ignore
    true, found = (
        boundaries(np.where(counted, labels.astype(np.int16), OUTSIDE), labels.shape)
        for labels in (pair.truth, pair.found)
    )
    regions = np.where(true == found, true, OUTSIDE), true, found
    return np.stack([np.bincount(each[each >= 0], minlength=len(files.classes)) for each in regions])


def _scores_of(counts: Floats | Counts, classes: Sequence[str]) -> Scores:
    ious = class_ious(counts)
    return {"mBIoU": mean_of(ious), **{f"BIoU/{name}": iou for name, iou in zip(classes, ious, strict=True)}}


def _resample_maps(files: Files, names: Sequence[str]) -> Rescorer:
    return resample_counts(files, _count, _scores_of)


def _resample_masks(files: Files, names: Sequence[str]) -> Rescorer:
    return coco_rescorer(pairs_of(_engine(files)), files)


BOUNDARY_MIOU = Metric(
    name="boundary-miou",
    annotations="label_maps",
    form=LABEL_MAPS,
    definition="mean boundary IoU over classes present, within 2 % of the diagonal of a contour, 255 ignored",
    scores=("mBIoU",),
    headline=("mBIoU",),
    evaluate=score_boundaries,
    resample=_resample_maps,
    ordered=(),
    means=(("mBIoU", "BIoU/"),),
)

BOUNDARY_SEGM = Metric(
    name="boundary-segm",
    annotations="masks",
    form=RESULTS_FILE,
    definition=(
        "COCO AP by the smaller of mask IoU and boundary IoU, within 2 % of the diagonal of a contour, pycocotools 2 "
        "definition, 100 detections, sizes by mask"
    ),
    scores=BOX_SCORES,
    headline=HEADLINE,
    evaluate=score_boundary_masks,
    resample=_resample_masks,
    ordered=BOX_ORDER,
)
