"""A suite: which heads on which data, at which seeds, make up a leaderboard table."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from transfer.errors import BadOption, UnknownName
from transfer.files.places import configs, data_root
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


def shipped_suites() -> dict[str, Path]:
    """Return names and files of the suites that come with this package."""
    return {path.stem: path for path in sorted((configs() / "suites").glob("*.toml"))}


def user_suites() -> dict[str, Path]:
    """Return names and files of the user's suites: in `suites/` of the data root, else beside its data sets."""
    folders = (data_root(), data_root() / "suites")
    found = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml")) if is_suite(path)}
    return {name: path for name, path in found.items() if name not in shipped_suites()}


def suite_names() -> list[str]:
    """Return the names of all suites, shipped and the user's own."""
    return sorted({*shipped_suites(), *user_suites()})


def suite_path(name: str) -> Path:
    """Return the file of a suite: a shipped one or one of the user's own by name, or the path of a TOML.

    Raises UnknownName with the nearest names, BadOption for another file that has a shipped suite's name, by which its
    records would be taken for that suite's.
    """
    if not name.endswith(".toml"):
        known = {**user_suites(), **shipped_suites()}
        if name not in known:
            raise UnknownName.among("suite", name, known)
        return known[name]
    path, shipped = Path(name), shipped_suites()
    if not path.is_file():
        raise UnknownName(f"there is no suite file {name}. Suites that have a name: {', '.join(suite_names())}.")
    if path.stem in shipped and path.resolve() != shipped[path.stem].resolve():
        raise BadOption(f"{name}: {path.stem!r} is a suite that comes with this package. Give the file another name.")
    return path


def load_suites() -> list[Suite]:
    """Load all suites, shipped and the user's own, by name."""
    return [load_suite(suite_path(name)) for name in suite_names()]
