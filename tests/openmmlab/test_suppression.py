from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer.openmmlab.suppression import suppress_poses
from transfer.openmmlab.writers import KeypointWriter

SIGMAS = np.array([0.026, 0.079, 0.107])


def similarity(one: dict[str, Any], other: dict[str, Any]) -> float:
    """COCO's object keypoint similarity, joint by joint; the scale is the mean of both areas."""
    area, total = (one["area"] + other["area"]) / 2, 0.0
    for k, sigma in enumerate(SIGMAS):
        distance = math.dist(one["keypoints"][3 * k : 3 * k + 2], other["keypoints"][3 * k : 3 * k + 2])
        total += math.exp(-(distance**2) / (2 * area * (2 * sigma) ** 2))
    return total / len(SIGMAS)


def plainly(poses: list[dict[str, Any]], threshold: float) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for pose in sorted(poses, key=lambda pose: (pose["image_id"], -pose["score"])):
        rivals = [other for other in kept if other["image_id"] == pose["image_id"]]
        if all(similarity(other, pose) <= threshold for other in rivals):
            kept.append(pose)
    return kept


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_suppression_equals_a_plain_reference(threshold: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    people = draw.uniform(0, 200, (4, 3, 2))
    poses = [
        {
            "image_id": int(draw.integers(0, 3)),
            "keypoints": np.c_[people[draw.integers(0, 4)] + draw.normal(0, 1.5, (3, 2)), draw.random(3)]
            .ravel()
            .tolist(),
            "score": float(draw.random()),
            "area": float(draw.uniform(500, 5000)),
        }
        for _ in range(40)
    ]
    kept = suppress_poses(poses, threshold, SIGMAS)
    assert kept == plainly(poses, threshold)
    assert 3 <= len(kept) < len(poses)


def crop(image: int, shift: float, scores: list[float]) -> dict[str, Any]:
    found = {
        "keypoints": np.array([[[10.0, 10], [20, 30], [40, 60]]]) + shift,
        "keypoint_scores": np.array([scores]),
        "bboxes": np.array([[0.0, 0, 50, 80]]),
        "bbox_scores": np.ones(1, dtype=np.float32),
    }
    return {"img_id": image, "pred_instances": found}


CROPS = [crop(1, 0, [0.1, 0.5, 0.9]), crop(1, 0.2, [0.3, 0.6, 0.9]), crop(2, 0, [0.0, 0.1, 0.1])]


def written(folder: Path, **options: Any) -> list[dict[str, Any]]:
    writer = KeypointWriter(str(folder / "poses.json"), [1], **options)
    writer.dataset_meta = {"sigmas": SIGMAS}
    writer.process(None, CROPS)
    writer.evaluate(len(CROPS))
    entries: list[dict[str, Any]] = json.loads((folder / "poses.json").read_text(encoding="utf-8"))
    return entries


def test_scores_count_confident_joints_unless_a_recipe_counts_all(tmp_path: Path) -> None:
    assert [pose["score"] for pose in written(tmp_path)] == pytest.approx([0.7, 0.6, 0])
    assert [pose["score"] for pose in written(tmp_path, minimum_joint_score=None)] == pytest.approx(
        [0.5, 0.6, 0.2 / 3], abs=1e-6
    )


def test_a_recipe_suppresses_before_writing(tmp_path: Path) -> None:
    kept = written(tmp_path, minimum_joint_score=None, oks_nms=0.9)
    assert [(pose["image_id"], round(pose["score"], 3)) for pose in kept] == [(1, 0.6), (2, 0.067)]
    assert all(set(pose) == {"image_id", "category_id", "keypoints", "score"} for pose in kept)
