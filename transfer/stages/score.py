"""Predictions + truth → scores.json. Needs no GPU and no model, so a corrected metric re-scores old runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer.files.atomic import write_json
from transfer.files.fingerprint import file_sha256, fingerprint
from transfer.metrics.invariants import check_scores
from transfer.metrics.metric import Scores
from transfer.metrics.resampling import gap_intervals
from transfer.metrics.subset import score_part
from transfer.stages.exclusion import Exclusion
from transfer.stages.job import Job


def score(job: Job) -> Mapping[str, Any]:
    """Score the predictions as they are on disk: `scores`, `seconds`, and the predictions' `sha256` and `files`.

    Where test images are excluded, `scores` are those of the clean ones. Scores of another definition are kept beside.
    """
    known = {
        "metric": job.metric.definition,
        "predictions": identify(job.predictions),
        "excluded": job.run.excluded,
    }
    done = _read(job.scores)
    if done is not None and all(done.get(key, "") == value for key, value in known.items()):
        return done
    start = time.monotonic()
    scores = job.metric.evaluate(job.files) if job.exclusion is None else _score_some(job, job.exclusion.clean)
    check_scores(job.metric, scores)
    result = {"scores": scores, **known, "seconds": round(time.monotonic() - start, 1)}
    if done is not None and done["metric"] != job.metric.definition:
        job.scores.replace(earlier_scores(job, done["metric"]))
    write_json(job.scores, result)
    return result


def earlier_scores(job: Job, definition: str) -> Path:
    """Return where scores by an earlier `definition` of the metric are kept."""
    return job.scores.with_name(f"scores-{fingerprint(definition)[:8]}.json")


def measure_overlap(job: Job, exclusion: Exclusion) -> dict[str, Any]:
    """Return what a record says of excluded images: scores of all and of the duplicates, and by how much full exceeds
    clean.
    """
    full, clean = job.metric.evaluate(job.files), _names(job, exclusion.clean)
    names = [name for name in job.metric.headline if name in full]
    gaps = gap_intervals(job.metric, job.files, clean, scores=names)
    return {
        "manifests": list(exclusion.manifests),
        "counts": exclusion.counts,
        "full": full,
        "duplicate": _score_some(job, exclusion.duplicates),
        "gap": {name: {"gap": gap.gap, "low": gap.low, "high": gap.high} for name, gap in gaps.items()},
    }


def identify(predictions: Path) -> dict[str, Any]:
    """Return the SHA-256 of a file, or of a folder's (name, SHA-256) pairs in order of name."""
    if predictions.is_file():
        return {"sha256": file_sha256(predictions), "files": 1}
    files = sorted(predictions.glob("*.png"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return {"sha256": digest.hexdigest(), "files": len(files)}


def _read(scores: Path) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = json.loads(scores.read_text(encoding="utf-8")) if scores.exists() else None
    return found


def _score_some(job: Job, images: Sequence[str]) -> Scores:
    return score_part(job.metric, job.files, _names(job, images))


def _names(job: Job, images: Sequence[str]) -> list[str]:
    """Images as the metric calls them."""
    return [job.metric.form.called(name) for name in images]
