"""model.pth → predictions."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from transfer.files.atomic import write_json
from transfer.files.fingerprint import file_sha256
from transfer.launch.processes import is_first, on_first
from transfer.openmmlab.resolved import load_config
from transfer.openmmlab.runner import predict as predict_test_images
from transfer.stages.job import Job


def predict(job: Job) -> None:
    """Predict the test images, unless this model's predictions are there; they take their name when all are there."""
    if on_first(lambda: _done(job)):
        return
    start = time.monotonic()
    partial = job.folder / f".{job.predictions.name}.partial"
    on_first(lambda: _make_room(job, partial))
    predict_test_images(load_config(job.config, job.vocabulary), job.folder, partial)
    if is_first():
        cost = {"seconds": round(time.monotonic() - start, 1), "images": job.data["test"]["images"]}
        write_json(job.predict_cost, {**cost, "model": file_sha256(job.model)})
        partial.replace(job.predictions)


def _done(job: Job) -> bool:
    if not (job.predictions.exists() and job.predict_cost.exists()):
        return False
    predicted = json.loads(job.predict_cost.read_text(encoding="utf-8"))
    return bool(predicted.get("model") == file_sha256(job.model))


def _make_room(job: Job, partial: Path) -> None:
    """Another model's predictions go first: the new `predict.json` must never stand beside them."""
    for path in (job.predictions, partial):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    if job.metric.form.folder:
        partial.mkdir()
