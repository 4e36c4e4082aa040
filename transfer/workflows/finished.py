"""What a finished run's folder says of itself, without the checkpoint and the data set that it was planned with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.datasets.layouts import Split
from transfer.errors import RunError
from transfer.metrics.metric import Metric
from transfer.metrics.registry import find_metric
from transfer.openmmlab.resolved import holds_config, load_config, read_config
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import Task


@dataclass(frozen=True)
class Finished:
    """A run whose predictions are there, its task and metric, and its test data.

    `classes` are the names by label, empty where a json says them.
    """

    run: RunSpec
    task: Task
    metric: Metric
    test: Split
    classes: tuple[str, ...]

    def image(self, name: str) -> Path:
        """Return the file of a test image by the name that the truth says: of a label map, its stem."""
        return self.test.images / (f"{name}{self.test.image_suffix}" if self.metric.form.folder else name)


def open_finished(folder: Path) -> Finished:
    """Read the run in `folder`. Raises RunError where none was finished."""
    run, task = _run_and_task(folder)
    metric = find_metric(task.metric)
    if not (folder / metric.form.saved_as).exists():
        raise RunError(_unfinished(folder))
    path = folder / "config.json"
    # a head of the user's own (which has no size here) may name more than ours do, and nothing is built from it here
    config = load_config(path) if run.size else read_config(path)
    dataset = config.test_dataloader.dataset.dataset
    return Finished(run, task, metric, _split(dataset), tuple(dataset.get("metainfo", {}).get("classes", ())))


def _run_and_task(folder: Path) -> tuple[RunSpec, Task]:
    finished = all((folder / name).exists() for name in ("run.json", "scores.json"))
    if not (finished and holds_config(folder / "config.json")):
        raise RunError(_unfinished(folder))
    said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if said.get("task") is None:
        raise RunError(f"{folder} was made by an earlier version of this program. Run it again to look at it.")
    return RunSpec.from_json(said["run"]), Task(**{**said["task"], "scores": tuple(said["task"]["scores"])})


def _unfinished(folder: Path) -> str:
    return (
        f"{folder} holds no finished run: expected run.json, config.json, predictions and scores.json there. "
        "Name a run's folder below work_dirs; an unfinished run goes on with the `transfer eval` that began it."
    )


def _split(dataset: Any) -> Split:
    """The inverse of what composing writes into OpenMMLab's data set: a file of annotations, or a folder of maps."""
    prefix, listed, suffix = dataset.data_prefix, dataset.ann_file, dataset.get("img_suffix", ".jpg")
    if "seg_map_path" not in prefix:
        return Split(Path(prefix["img"]), Path(listed))
    maps, listing = Path(prefix["seg_map_path"]), Path(listed) if listed else None
    return Split(Path(prefix["img_path"]), maps, listing, image_suffix=suffix)
