"""config.py → model.pth."""

from __future__ import annotations

from transfer.openmmlab.runner import load_config, train
from transfer.stages.environment import environment
from transfer.stages.job import Job
from transfer.stages.processes import is_first


def fit(job: Job) -> None:
    """Fine-tune, unless `model.pth` is there; an interrupted fit goes on where it was saved."""
    if not job.model.exists():
        train(load_config(job.config), job.folder, job.title, environment=environment())
    elif is_first():  # stopped between writing the model and removing what it was made from
        job.train_state.unlink(missing_ok=True)
