"""A suite: which heads on which data, at which seeds, make up a leaderboard table."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from transfer.errors import BadOption, UnknownName
from transfer.schemas.mapping import Fields


@dataclass(frozen=True)
class Task(Fields):
    """A head trained on a data set, and the scores its table shows.

    `size` names a set of the head's arguments, from which `arguments` deviate; `metric` is one of
    `transfer.metrics.registry`; `scores` are its columns, the first one ranks.
    """

    name: str
    title: str
    head: str
    dataset: str
    size: str
    metric: str
    scores: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)


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


_TASK_KEYS = tuple(each.name for each in fields(Task))


def load_suite(path: Path) -> Suite:
    """Read a suite's TOML. Raises BadOption that names the file, the key and what was expected."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        if "layout" in data:
            raise BadOption(f"{path} is a data set, not a suite. A suite names it: dataset = {path.stem!r}.")
        tasks = tuple(_task(item) for item in data["tasks"])
        suite = Suite(path.stem, data["title"], data["description"].strip(), tuple(data["seeds"]), tasks)
    except tomllib.TOMLDecodeError as error:
        raise BadOption(f"{path} is not valid TOML: {error}") from error
    except (KeyError, TypeError) as error:
        raise BadOption(f"{path}: a suite needs title, description, seeds and tasks; problem: {error}") from error
    if not suite.tasks or not suite.seeds:
        raise BadOption(f"{path}: a suite needs at least one task and one seed.")
    return suite


def is_suite(path: Path) -> bool:
    """Return whether a TOML is a suite and not, say, a data set: it has tasks. A broken one is none."""
    try:
        return "tasks" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False


def _task(item: dict[str, Any]) -> Task:
    item = {**item, "scores": tuple(item["scores"])}
    if "kind" in item and "metric" not in item:  # its spelling until now, read for one release
        item["metric"] = item.pop("kind")
    unknown = [key for key in item if key not in _TASK_KEYS]
    if unknown:
        raise UnknownName.among("key of a suite's task", unknown[0], _TASK_KEYS)
    return Task(**item)
