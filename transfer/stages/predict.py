"""model.pth → predictions."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from transfer.openmmlab.runner import load_config
from transfer.openmmlab.runner import predict as predict_test_images
from transfer.spec.files import write_json
from transfer.stages.job import Job
from transfer.stages.processes import is_first, on_first


def predict(job: Job) -> None:
    """Predict the test images, unless it is done; predictions take their name when all of them are there."""
    if job.predictions.exists():
        return
    start = time.monotonic()
    partial = job.folder / f".{job.predictions.name}.partial"
    on_first(lambda: _make_room(job, partial))
    predict_test_images(load_config(job.config), job.folder, partial)
    if is_first():
        images = job.data["test"]["images"]
        write_json(job.predict_cost, {"seconds": round(time.monotonic() - start, 1), "images": images})
        partial.replace(job.predictions)


def _make_room(job: Job, partial: Path) -> None:
    if partial.is_dir():
        shutil.rmtree(partial)
    if job.kind == "miou":
        partial.mkdir()
