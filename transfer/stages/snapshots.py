"""The model on its way through training, predicted and scored like the final one: the curve of a run's scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from transfer.files.atomic import write_json
from transfer.launch.processes import on_first
from transfer.openmmlab.resolved import load_config
from transfer.stages.job import Job
from transfer.stages.predict import predict
from transfer.stages.score import score


def snapshot_steps(steps: int, count: int) -> list[int]:
    """`count` evenly spaced steps of a fit of `steps`, from 0, the untrained model, on; the last is not among them."""
    return sorted({steps * index // count for index in range(count)})


def score_snapshots(job: Job) -> None:
    """Predict with each snapshot, score it, and write `score_curve.json`: a list of `step` and `scores`.

    The final model's scores are its last. Nothing is chosen by these numbers: the row is the final model's.
    """
    kept = sorted(int(folder.name) for folder in job.snapshots.glob("*") if (folder / "model.pth").exists())
    curve = [{"step": step, "scores": _score(job, step)["scores"]} for step in kept]
    on_first(lambda: _write(job, curve))


def _score(job: Job, step: int) -> Mapping[str, Any]:
    snapshot = replace(job, folder=job.snapshots / str(step))
    on_first(lambda: shutil.copyfile(job.config, snapshot.config))
    predict(snapshot)
    return on_first(lambda: score(snapshot))


def _write(job: Job, curve: list[dict[str, Any]]) -> None:
    if curve:
        final = json.loads(job.scores.read_text(encoding="utf-8"))
        last = load_config(job.config, job.vocabulary).train_cfg.max_iters
        write_json(job.score_curve, [*curve, {"step": last, "scores": final["scores"]}])
