"""Predictions + truth → scores.json. Needs no GPU and no model, so a corrected metric re-scores old runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer.files.atomic import write_json
from transfer.files.fingerprint import file_sha256
from transfer.metrics.invariants import check_scores
from transfer.metrics.parts import score_files, score_part
from transfer.metrics.resampling import gap_intervals
from transfer.metrics.rescoring import RESCORED
from transfer.metrics.semantic import score_label_maps
from transfer.stages.exclusion import Exclusion
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
    """Score the predictions as they are on disk: `scores`, `seconds`, and the predictions' `sha256` and `files`.

    Where test images are excluded, `scores` are those of the clean ones.
    """
    known = {
        "metric": METRIC_VERSION[job.kind],
        "predictions": _identify(job.predictions),
        "excluded": job.run.excluded,
    }
    if job.scores.exists():
        done: Mapping[str, Any] = json.loads(job.scores.read_text(encoding="utf-8"))
        if all(done.get(key, "") == value for key, value in known.items()):
            return done
    start = time.monotonic()
    scores = _score(job) if job.exclusion is None else _score_some(job, job.exclusion.clean)
    check_scores(job.kind, scores)
    result = {"scores": scores, **known, "seconds": round(time.monotonic() - start, 1)}
    write_json(job.scores, result)
    return result


def measure_overlap(job: Job, exclusion: Exclusion) -> dict[str, Any]:
    """What a record says of excluded images: scores of all and of the duplicates, by how much full exceeds clean."""
    names = [name for name in _score(job) if name in RESCORED[job.kind]]
    stems = _stems(job) if job.kind == "miou" else None
    files = job.predictions, job.test.annotations
    clean = _names(job, exclusion.clean)
    gaps = gap_intervals(job.kind, *files, clean, scores=names, classes=job.classes, stems=stems)
    return {
        "manifests": list(exclusion.manifests),
        "counts": exclusion.counts,
        "full": _score(job),
        "duplicate": _score_some(job, exclusion.duplicates),
        "gap": {name: {"gap": gap.gap, "low": gap.low, "high": gap.high} for name, gap in gaps.items()},
    }


def _score(job: Job) -> dict[str, float]:
    files = job.predictions, job.test.annotations
    if job.kind == "miou":
        return score_label_maps(*files, stems=_stems(job), classes=job.classes)
    return score_files(job.kind, *files)


def _score_some(job: Job, images: Sequence[str]) -> dict[str, float]:
    return score_part(job.kind, job.predictions, job.test.annotations, _names(job, images), classes=job.classes)


def _names(job: Job, images: Sequence[str]) -> list[str]:
    """Images as the scorer of the kind calls them."""
    return [Path(name).stem for name in images] if job.kind == "miou" else list(images)


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
