"""How well predictions and truth of one image agree: to find the images worth a look, not to rank models.

COCO's and VOC's scores are defined over a data set. Of one image, as many predictions are taken as it has objects, the
surest first, and paired with them one to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.cocoeval import Params

from transfer.metrics.semantic import count_pairs

Entry = dict[str, Any]
Kind = Literal["bbox", "voc", "segm", "keypoints"]
Size = tuple[int, int]
Overlaps = NDArray[np.float64]

TOLERANCES = np.asarray(Params(iouType="keypoints").kpt_oks_sigmas) * 2
"""Of each joint of a COCO person, in units of the square root of the person's area."""


def to_find(objects: Sequence[Entry], kind: Kind) -> list[Entry]:
    """The objects that a model should find: no crowds, nothing ignored or difficult, no persons without joints."""
    plain = [entry for entry in objects if not any(entry.get(key) for key in ("iscrowd", "ignore", "difficult"))]
    return [entry for entry in plain if entry.get("num_keypoints")] if kind == "keypoints" else plain


def surest(predictions: Sequence[Entry], count: int) -> list[Entry]:
    """The `count` predictions of an image with the highest scores, in descending order."""
    return sorted(predictions, key=lambda entry: -entry["score"])[:count]


def agree_on_objects(objects: Sequence[Entry], predictions: Sequence[Entry], kind: Kind, size: Size) -> float:
    """Mean overlap (IoU, or OKS of keypoints) over the objects of an image of `size` (height, width) pixels.

    Pairs have one category; the pair that overlaps most is made first; an object without a partner counts 0.
    """
    found = surest(predictions, len(objects))
    if not found:
        return 0.0
    overlaps = _overlaps(objects, found, kind, size) * _same_category(objects, found)
    total = 0.0
    while overlaps.size and (best := float(overlaps.max())) > 0:
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        overlaps = np.delete(np.delete(overlaps, row, axis=0), column, axis=1)
        total += best
    return total / len(objects)


def agree_on_labels(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], ignore: int = 255) -> float:
    """Mean IoU over the classes that a pair of `(H, W)` label maps shows; 1 where all of the truth is `ignore`."""
    pairs = count_pairs(truth, prediction)
    pairs[ignore] = 0
    hits, union = pairs.diagonal(), pairs.sum(axis=0) + pairs.sum(axis=1) - pairs.diagonal()
    shown = union > 0
    return float((hits[shown] / union[shown]).mean()) if shown.any() else 1.0


def _encode(segmentation: Any, size: Size) -> Any:
    """Polygons, or RLE as lists or text, as the RLE that pycocotools computes with."""
    height, width = size
    if isinstance(segmentation, list):
        return rle.merge(rle.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return rle.frPyObjects(segmentation, height, width)
    return segmentation


def decode_mask(segmentation: Any, size: Size) -> NDArray[np.uint8]:
    """Polygons or RLE as an `(H, W)` mask of 0 and 1."""
    return np.asarray(rle.decode(_encode(segmentation, size)))


def _overlaps(objects: Sequence[Entry], found: Sequence[Entry], kind: Kind, size: Size) -> Overlaps:
    """`(N, M)` overlaps of N objects and M predictions."""
    if kind == "keypoints":
        return np.array([[_similarity(entry, other) for other in found] for entry in objects])
    if kind == "segm":
        masks = [[_encode(entry["segmentation"], size) for entry in entries] for entries in (objects, found)]
    else:
        masks = [[np.asarray(entry["bbox"], np.float64) for entry in entries] for entries in (objects, found)]
        masks = [np.stack(boxes) for boxes in masks]  # type: ignore[misc]
    return np.asarray(rle.iou(*masks, [0] * len(found)))


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
