"""A run's folder: what it is, and the files its stages leave there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.datasets.layouts import Split
from transfer.datasets.selection import read_list
from transfer.errors import FingerprintMismatch, RunError
from transfer.files.atomic import locked, write_json
from transfer.metrics.metric import Files, Metric
from transfer.openmmlab.allowed import SHIPPED, Vocabulary
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import Task
from transfer.stages.exclusion import Exclusion


@dataclass(frozen=True)
class Job:
    """A run, its metric, its test data, and where its files are.

    `data` holds the manifests of `train` and `test`, `classes` the names in label order, `certificate` the
    conversion's (None for the control); `exclusion` says which test images are left out of the scores; `task` is what
    the suite said when the run was planned, `vocabulary` what its config may say.
    """

    folder: Path
    run: RunSpec
    metric: Metric
    test: Split
    classes: tuple[str, ...]
    data: Mapping[str, Any]
    certificate: Mapping[str, Any] | None
    exclusion: Exclusion | None = None
    task: Task | None = None
    vocabulary: Vocabulary = SHIPPED

    @property
    def config(self) -> Path:
        """Resolved mmengine config, as data."""
        return self.folder / "config.json"

    @property
    def model(self) -> Path:
        """Fine-tuned weights; their presence says that fitting is done."""
        return self.folder / "model.pth"

    @property
    def train_state(self) -> Path:
        """What an interrupted fit goes on from."""
        return self.folder / "train_state.pth"

    @property
    def predictions(self) -> Path:
        """COCO results, or a folder of label maps."""
        return self.folder / self.metric.form.saved_as

    @property
    def files(self) -> Files:
        """Predictions and truth as the metric takes them."""
        images = None if self.test.listing is None else tuple(read_list(self.test.listing))
        return Files(self.predictions, self.test.annotations, self.classes, images)

    @property
    def scores(self) -> Path:
        """Scores of the predictions."""
        return self.folder / "scores.json"

    @property
    def record(self) -> Path:
        """The finished record."""
        return self.folder / "record.json"

    @property
    def losses(self) -> Path:
        """Loss curve, a line of JSON for each tenth step."""
        return self.folder / "losses.jsonl"

    @property
    def snapshots(self) -> Path:
        """Folder of the models on the way, each in a folder named by its step."""
        return self.folder / "snapshots"

    @property
    def score_curve(self) -> Path:
        """Scores of the snapshots and of the final model."""
        return self.folder / "score_curve.json"

    @property
    def title(self) -> str:
        """Short name for progress bars."""
        return f"{self.run.checkpoint} {self.run.task} seed {self.run.seed}"

    @property
    def fit_cost(self) -> Path:
        """Seconds, images and environment of fitting."""
        return self.folder / "fit.json"

    @property
    def predict_cost(self) -> Path:
        """Seconds and images of predicting, and the SHA-256 of the model that predicted."""
        return self.folder / "predict.json"


def claim(job: Job) -> None:
    """Create the run's folder or go on in it. Raises FingerprintMismatch when it holds other work."""
    path = job.folder / "run.json"
    task = None if job.task is None else job.task.to_json()
    ours = {"fingerprint": job.run.fingerprint, "run": job.run.to_json(), "task": task}
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if found is not None and found["fingerprint"] != ours["fingerprint"]:
        raise FingerprintMismatch(_describe(job, found))
    if found != ours:  # new, or the metric or the suite's words have been defined anew
        write_json(path, ours)


@contextmanager
def in_use(job: Job) -> Iterator[None]:
    """Keep other launches out of the run's folder. Raises RunError when one is in there; a dead one never is."""
    busy = RunError(
        f"{job.folder} is in use by another launch. Wait until that one ends, or choose another folder with --work-dir."
    )
    with locked(job.folder / ".lock", busy):
        yield


def _describe(job: Job, found: Mapping[str, Any]) -> str:
    ours = job.run.to_json()
    different = [key for key in ours if ours[key] != found["run"].get(key)]
    return (
        f"{job.folder} holds work with fingerprint {found['fingerprint']}, this run has {job.run.fingerprint}; "
        f"they differ in {', '.join(different)} (head or data changed since). Nothing was overwritten: "
        f"move that folder away, or choose another one with --work-dir."
    )
