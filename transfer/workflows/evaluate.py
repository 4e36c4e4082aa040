"""The main job: a checkpoint and a suite go in, records and a leaderboard come out."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from transfer.checkpoints.identification.filling import UNSAID, Choice
from transfer.files.places import data_root, suite_path
from transfer.launch.processes import dividing, most_processes, on_first, process_group
from transfer.openmmlab.data import per_process
from transfer.openmmlab.resolved import load_config
from transfer.schemas.record import Record
from transfer.schemas.suite import load_suite
from transfer.stages.convert import convert
from transfer.stages.exclusion import read_overlaps
from transfer.stages.fit import fit
from transfer.stages.job import Job, in_use
from transfer.stages.predict import predict
from transfer.stages.publish import check_publishable, keep_suite, publish, rebuild, record
from transfer.stages.snapshots import score_snapshots
from transfer.workflows.plan import Deviations, plan


@dataclass(frozen=True)
class Request:
    """What `transfer eval` was asked for.

    So many `snapshots` of a fit are scored besides its final model; images that the overlap manifests `exclude` know
    from pre-training do not rank.
    """

    checkpoint: str
    suite: str
    deviations: Deviations
    choice: Choice = UNSAID
    work_dir: Path = Path("work_dirs")
    board: Path = Path("leaderboard")
    snapshots: int = 0
    exclude: tuple[Path, ...] = ()


def evaluate(request: Request) -> list[Record]:
    """Convert, check the data, then fit, predict, score and publish each task; rebuild the leaderboard."""
    with process_group():
        jobs = on_first(lambda: prepare(request))
        on_first(lambda: keep_suite(suite_path(request.suite), request.board))
        records = [_complete(job, request) for job in jobs]
        on_first(lambda: rebuild(request.board))
    return records


def processes_for(request: Request, asked: int | None) -> int:
    """Processes to start on this machine: `asked`, or as many as there are GPUs and every job's step divides by.

    Before several are started, what is wrong with the request is raised here, once.
    """
    most = most_processes(asked)
    if most == 1:
        return 1
    steps = [load_config(job.config, job.vocabulary).task.images_per_step for job in prepare(request)]
    if asked is None:
        return dividing(most, steps)
    for images in steps:
        per_process(images, asked)
    return asked


def prepare(request: Request) -> list[Job]:
    """Convert the checkpoint, check the data and compose the configs of all jobs; what is done already is read.

    Every error that a user can meet before training is raised here.
    """
    suite = load_suite(suite_path(request.suite))
    overlaps = read_overlaps(request.exclude)
    work_dir, data = request.work_dir.resolve(), data_root().resolve()  # a run goes on wherever one stands
    origin = convert(request.checkpoint, work_dir, request.choice)
    jobs = plan(origin, suite, request.deviations, work_dir, data, overlaps)
    check_publishable(jobs, request.board)
    return jobs


def _complete(job: Job, request: Request) -> Record:
    with ExitStack() as held:
        on_first(lambda: held.enter_context(in_use(job)))
        fit(job, request.snapshots)
        predict(job)
        gc.collect()
        result = on_first(lambda: record(job))
        on_first(lambda: publish(result, request.board))
        score_snapshots(job)
    return result
