"""How well predictions and truth of one image agree: to find the images worth a look, not to rank models.

COCO's and VOC's scores are defined over a data set. Of one image, as many predictions are taken as it has objects, the
surest first, and paired with them one to one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.cocoeval import Params

from transfer.metrics.label_maps import count_pairs
from transfer.metrics.metric import UNDEFINED
from transfer.metrics.semantic import class_ious, count_classes, mean_of

Entry = dict[str, Any]
Size = tuple[int, int]
Overlaps = NDArray[np.float64]

TOLERANCES = np.asarray(Params(iouType="keypoints").kpt_oks_sigmas) * 2
"""Of each joint of a COCO person, in units of the square root of the person's area."""


@dataclass(frozen=True)
class Compared:
    """How objects of one type of annotations are compared with predictions.

    `overlaps` (N, M) of N objects and M predictions of an image of some (height, width); `wanted` says of an object
    whether a model should find it.
    """

    overlaps: Callable[[Sequence[Entry], Sequence[Entry], Size], Overlaps]
    wanted: Callable[[Entry], bool] = lambda _: True

    def to_find(self, objects: Sequence[Entry]) -> list[Entry]:
        """Return the objects that a model should find: no crowds, nothing ignored or difficult."""
        counted = [entry for entry in objects if not any(entry.get(key) for key in ("iscrowd", "ignore", "difficult"))]
        return [entry for entry in counted if self.wanted(entry)]

    def agreement(self, objects: Sequence[Entry], predictions: Sequence[Entry], size: Size) -> float:
        """Return the mean overlap (IoU, or OKS of joints) over the objects of an image of `size` (height, width).

        Pairs have one category; the pair that overlaps most is made first; an object without a partner counts 0.
        """
        found = surest(predictions, len(objects))
        if not found:
            return 0.0
        overlaps = self.overlaps(objects, found, size) * _same_category(objects, found)
        total = 0.0
        while overlaps.size and (best := float(overlaps.max())) > 0:
            row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
            overlaps = np.delete(np.delete(overlaps, row, axis=0), column, axis=1)
            total += best
        return total / len(objects)


def surest(predictions: Sequence[Entry], count: int) -> list[Entry]:
    """Return the `count` predictions of an image with the highest scores, in descending order."""
    return sorted(predictions, key=lambda entry: -entry["score"])[:count]


def agree_on_labels(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], ignore: int = 255) -> float:
    """Return the mean IoU over the classes that two `(H, W)` label maps show; 1 where all of the truth is `ignore`."""
    mean = mean_of(class_ious(count_classes(count_pairs(truth, prediction, ignore))))
    return 1.0 if mean == UNDEFINED else mean


def decode_mask(segmentation: Any, size: Size) -> NDArray[np.uint8]:
    """Return polygons or RLE as an `(H, W)` mask of 0 and 1."""
    return np.asarray(rle.decode(_encode(segmentation, size)))


def _encode(segmentation: Any, size: Size) -> Any:
    """Polygons, or RLE as lists or text, as the RLE that pycocotools computes with."""
    height, width = size
    if isinstance(segmentation, list):
        return rle.merge(rle.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return rle.frPyObjects(segmentation, height, width)
    return segmentation


def _box_overlaps(objects: Sequence[Entry], found: Sequence[Entry], size: Size) -> Overlaps:
    boxes = (np.array([entry["bbox"] for entry in entries], np.float64) for entries in (objects, found))
    return np.asarray(rle.iou(*boxes, [0] * len(found)))


def _mask_overlaps(objects: Sequence[Entry], found: Sequence[Entry], size: Size) -> Overlaps:
    masks = ([_encode(entry["segmentation"], size) for entry in entries] for entries in (objects, found))
    return np.asarray(rle.iou(*masks, [0] * len(found)))


def _joint_overlaps(objects: Sequence[Entry], found: Sequence[Entry], size: Size) -> Overlaps:
    return np.array([[_similarity(entry, other) for other in found] for entry in objects])


def _has_joints(person: Entry) -> bool:
    return bool(person.get("num_keypoints"))


def _same_category(objects: Sequence[Entry], found: Sequence[Entry]) -> NDArray[np.bool_]:
    return np.array([[entry["category_id"] == other["category_id"] for other in found] for entry in objects])


def _similarity(person: Entry, prediction: Entry) -> float:
    """Object keypoint similarity, as COCO's evaluation defines it for persons with visible joints."""
    true = np.asarray(person["keypoints"], np.float64).reshape(-1, 3)
    found = np.asarray(prediction["keypoints"], np.float64).reshape(-1, 3)
    visible = true[:, 2] > 0
    distances = ((true - found)[:, :2] ** 2).sum(axis=1)
    errors = distances / TOLERANCES**2 / (person["area"] + np.spacing(1)) / 2
    return float(np.exp(-errors[visible]).mean())


BOXES = Compared(_box_overlaps)
MASKS = Compared(_mask_overlaps)
KEYPOINTS = Compared(_joint_overlaps, _has_joints)
