"""config.json → model.pth."""

from __future__ import annotations

from transfer.launch.environment import environment
from transfer.launch.processes import is_first
from transfer.openmmlab.hooks import Snapshots
from transfer.openmmlab.resolved import load_config
from transfer.openmmlab.runner import train
from transfer.stages.job import Job
from transfer.stages.snapshots import snapshot_steps


def fit(job: Job, snapshots: int = 0) -> None:
    """Fine-tune, unless `model.pth` is there; an interrupted fit goes on where it was saved.

    The model is kept at so many `snapshots` on the way, too.
    """
    if not job.model.exists():
        config = load_config(job.config, job.vocabulary)
        steps = snapshot_steps(config.train_cfg.max_iters, snapshots)
        hooks = [Snapshots(job.snapshots, steps)] if steps else []
        train(config, job.folder, job.title, environment=environment(), hooks=hooks)
    elif is_first():  # stopped between writing the model and removing what it was made from
        job.train_state.unlink(missing_ok=True)
