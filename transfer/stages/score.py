"""Predictions + truth → scores.json. Needs no GPU and no model, so a corrected metric re-scores old runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.metrics.invariants import check_scores
from transfer.metrics.masks import score_instances
from transfer.metrics.scoring import SCORERS
from transfer.metrics.semantic import score_label_maps
from transfer.spec.files import write_json
from transfer.spec.fingerprint import file_sha256
from transfer.stages.job import Job

METRIC_VERSION = {
    "bbox": "COCO box AP, pycocotools 2 definition, 100 detections",
    "segm": "COCO mask AP and box AP, pycocotools 2 definition, 100 detections, sizes by mask and by box",
    "keypoints": "COCO keypoint AP, pycocotools 2 definition, given boxes",
    "voc": "VOC AP over continuous boxes: area under the curve (2010), 11 points (2007), difficult objects left out",
    "miou": "mean IoU over classes present, one confusion matrix, 255 ignored",
}
"""Part of the protocol: scores of another definition never share a column."""


def score(job: Job) -> Mapping[str, Any]:
    """Score the predictions as they are on disk: `scores`, `seconds`, and the predictions' `sha256` and `files`."""
    predictions = _identify(job.predictions)
    if job.scores.exists():
        done: Mapping[str, Any] = json.loads(job.scores.read_text(encoding="utf-8"))
        if done["predictions"] == predictions and done["metric"] == METRIC_VERSION[job.kind]:
            return done
    start = time.monotonic()
    scores = _score(job)
    check_scores(job.kind, scores)
    result = {
        "scores": scores,
        "metric": METRIC_VERSION[job.kind],
        "predictions": predictions,
        "seconds": round(time.monotonic() - start, 1),
    }
    write_json(job.scores, result)
    return result


def _score(job: Job) -> dict[str, float]:
    files = job.predictions, job.test.annotations
    if job.kind == "miou":
        return score_label_maps(*files, stems=_stems(job), classes=job.classes)
    return score_instances(*files) if job.kind == "segm" else SCORERS[job.kind](*files)


def _stems(job: Job) -> list[str]:
    if job.test.listing is not None:
        return job.test.listing.read_text(encoding="utf-8").split()
    return sorted(path.stem for path in job.test.annotations.glob("*.png"))


def _identify(predictions: Path) -> dict[str, Any]:
    """SHA-256 of a file, or of a folder's (name, SHA-256) pairs in order of name."""
    if predictions.is_file():
        return {"sha256": file_sha256(predictions), "files": 1}
    files = sorted(predictions.glob("*.png"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return {"sha256": digest.hexdigest(), "files": len(files)}
