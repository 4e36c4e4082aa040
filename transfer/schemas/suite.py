"""A suite: which recipes, at which seeds, make up a leaderboard table."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.errors import BadOption
from transfer.schemas.mapping import Fields

KINDS = ("bbox", "segm", "keypoints", "voc", "miou")


@dataclass(frozen=True)
class Task(Fields):
    """One recipe of a suite and the scores its table shows.

    `kind` names the metric (one of KINDS); `scores` are its columns, the first one ranks.
    """

    name: str
    title: str
    recipe: str
    kind: str
    scores: tuple[str, ...]


@dataclass(frozen=True)
class Suite(Fields):
    """A named list of tasks. Every row needs every task at every seed; `title` and `description` head the table."""

    name: str
    title: str
    description: str
    seeds: tuple[int, ...]
    tasks: tuple[Task, ...]

    def task(self, name: str) -> Task:
        """The task called `name`."""
        return next(task for task in self.tasks if task.name == name)


def load_suite(path: Path) -> Suite:
    """Read `configs/suites/*.toml`. Raises BadOption that names the file, the key and what was expected."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        tasks = tuple(_task(item) for item in data["tasks"])
        suite = Suite(path.stem, data["title"], data["description"].strip(), tuple(data["seeds"]), tasks)
    except tomllib.TOMLDecodeError as error:
        raise BadOption(f"{path} is not valid TOML: {error}") from error
    except (KeyError, TypeError) as error:
        raise BadOption(f"{path}: a suite needs title, description, seeds and tasks; problem: {error}") from error
    if not suite.tasks or not suite.seeds:
        raise BadOption(f"{path}: a suite needs at least one task and one seed.")
    return suite


def _task(item: dict[str, Any]) -> Task:
    task = Task(item["name"], item["title"], item["recipe"], item["kind"], tuple(item["scores"]))
    if task.kind not in KINDS:
        raise BadOption(f"task {task.name!r}: kind must be one of {', '.join(KINDS)}, not {task.kind!r}.")
    return task
