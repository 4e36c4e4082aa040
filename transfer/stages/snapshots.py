"""The model on its way through training, predicted and scored like the final one: the curve of a run's scores."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial

from transfer.files.atomic import write_json
from transfer.launch.processes import on_first
from transfer.openmmlab.resolved import read_config
from transfer.stages.job import Job
from transfer.stages.predict import predict
from transfer.stages.score import score


def snapshot_steps(steps: int, count: int) -> list[int]:
    """`count` evenly spaced steps of a fit of `steps`, from 0, the untrained model, on; the last is not among them."""
    return sorted({steps * index // count for index in range(count)})


def score_snapshots(job: Job) -> None:
    """Predict with each snapshot, score it, and write `score_curve.json`."""
    for step in _steps(job):
        snapshot = _snapshot(job, step)
        on_first(partial(shutil.copyfile, job.config, snapshot.config))
        predict(snapshot)
    on_first(lambda: write_curve(job))


def write_curve(job: Job) -> None:
    """Write `score_curve.json` of snapshots that have predictions: a list of `step` and `scores`.

    The final model's scores are its last. Nothing is chosen by these numbers: the row is the final model's.
    """
    curve = [
        {"step": step, "scores": score(snapshot)["scores"]}
        for step in _steps(job)
        if (snapshot := _snapshot(job, step)).predictions.exists()
    ]
    if curve:
        last = read_config(job.config).train_cfg.max_iters
        write_json(job.score_curve, [*curve, {"step": last, "scores": score(job)["scores"]}])


def _steps(job: Job) -> list[int]:
    return sorted(int(folder.name) for folder in job.snapshots.glob("*") if (folder / "model.pth").exists())


def _snapshot(job: Job, step: int) -> Job:
    return replace(job, folder=job.snapshots / str(step))
