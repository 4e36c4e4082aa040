"""Evaluators that score nothing: they write predictions to files, which `transfer.metrics` scores later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures.mask import encode_mask_results
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from PIL import Image

from transfer.files.atomic import write_json
from transfer.openmmlab.suppression import suppress_poses

MINIMUM_JOINT_SCORE = 0.2
"""Joints below this do not count in a person's score (mmpose CocoMetric, keypoint_score_thr)."""


class _ResultsWriter(BaseMetric):
    """Collect COCO result entries over all ranks and write them as one JSON list."""

    default_prefix = "written"

    def __init__(self, output: str, category_ids: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output = Path(output)
        self.category_ids = list(category_ids)

    def compute_metrics(self, results: list[list[dict[str, Any]]]) -> dict[str, float]:
        entries = [entry for image in results for entry in image]
        write_json(self.output, entries)
        return {"predictions": len(entries)}


@METRICS.register_module()
class BoxWriter(_ResultsWriter):
    """Detections as COCO results: `bbox` is (x, y, width, height) in pixels of the original image."""

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """One list of entries for each image."""
        self.results += [self._entries(sample) for sample in data_samples]

    def _entries(self, sample: dict[str, Any]) -> list[dict[str, Any]]:
        found = sample["pred_instances"]
        boxes = found["bboxes"].cpu().numpy().astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        return [
            {
                "image_id": sample["img_id"],
                "category_id": self.category_ids[int(label)],
                "bbox": [round(value, 3) for value in box],
                "score": round(float(score), 6),
            }
            for box, score, label in zip(boxes.tolist(), found["scores"], found["labels"], strict=True)
        ]


@METRICS.register_module()
class MaskWriter(BoxWriter):
    """Instances as COCO results: boxes, and `segmentation` as run lengths (compressed RLE) at the original size."""

    def _entries(self, sample: dict[str, Any]) -> list[dict[str, Any]]:
        masks = sample["pred_instances"]["masks"]
        if isinstance(masks, torch.Tensor):
            masks = encode_mask_results(masks.cpu().numpy())
        return [
            {**entry, "segmentation": {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}}
            for entry, mask in zip(super()._entries(sample), masks, strict=True)
        ]


@METRICS.register_module()
class KeypointWriter(_ResultsWriter):
    """Poses as COCO results: joints (x, y, score) in pixels of the original image.

    A pose's score is the box's times the mean of its joints' scores above `minimum_joint_score` (None: of all).
    `oks_nms` leaves out, image by image, poses more similar than that to a better one.
    """

    def __init__(
        self,
        output: str,
        category_ids: Sequence[int],
        minimum_joint_score: float | None = MINIMUM_JOINT_SCORE,
        oks_nms: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(output, category_ids, **kwargs)
        self.minimum = -math.inf if minimum_joint_score is None else minimum_joint_score
        self.oks_nms = oks_nms

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """One list of entries, with their boxes' areas, for each person crop."""
        self.results += [self._entries(sample) for sample in data_samples]

    def compute_metrics(self, results: list[list[dict[str, Any]]]) -> dict[str, float]:
        """Suppress, and write what is left without the areas."""
        poses = [entry for crop in results for entry in crop]
        if self.oks_nms is not None:
            poses = suppress_poses(poses, self.oks_nms, np.asarray(self.dataset_meta["sigmas"]))
        return super().compute_metrics([[{k: v for k, v in pose.items() if k != "area"} for pose in poses]])

    def _entries(self, sample: dict[str, Any]) -> list[dict[str, Any]]:
        found = sample["pred_instances"]
        boxes = np.broadcast_to(found["bbox_scores"], len(found["keypoints"]))
        return [
            {
                "image_id": int(sample["img_id"]),
                "category_id": self.category_ids[0],
                "keypoints": _joints(points, scores),
                "score": round(float(box) * _pose_score(scores, self.minimum), 6),
                "area": float((right - left) * (bottom - top)),
            }
            for points, scores, box, (left, top, right, bottom) in zip(
                found["keypoints"], found["keypoint_scores"], boxes, found["bboxes"], strict=True
            )
        ]


def _joints(points: np.ndarray, scores: np.ndarray) -> list[float]:
    """`(K, 2)` and `(K,)` → 3K numbers."""
    return [round(float(value), 3) for value in np.column_stack([points, scores]).ravel()]


def _pose_score(scores: np.ndarray, minimum: float) -> float:
    visible = scores[scores > minimum]
    return float(visible.mean()) if visible.size else 0.0


@METRICS.register_module()
class LabelMapWriter(BaseMetric):
    """Label maps as 8-bit PNGs at the original size, `<output>/<image stem>.png`; every rank writes its own."""

    default_prefix = "written"

    def __init__(self, output: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output = Path(output)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Write each image's map and remember its name."""
        for sample in data_samples:
            stem = Path(sample["img_path"]).stem
            labels = sample["pred_sem_seg"]["data"].squeeze(0).cpu().numpy().astype(np.uint8)
            Image.fromarray(labels).save(self.output / f"{stem}.png")
            self.results.append(stem)

    def compute_metrics(self, results: list[str]) -> dict[str, float]:
        """Number of maps written."""
        return {"predictions": len(results)}
