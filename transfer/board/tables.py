"""Sort records into rows and columns of tables; how they look is decided elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from transfer.results.curves import deviation
from transfer.schemas.mapping import plain
from transfer.schemas.record import Record
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import Suite, Task


@dataclass(frozen=True)
class Row:
    """The records of one checkpoint, by (task, seed)."""

    records: Mapping[tuple[str, int], Record]

    @property
    def run(self) -> RunSpec:
        """A run of the row; checkpoint, weights, backbone and input are the same in all of them."""
        return next(iter(self.records.values())).run

    @property
    def arch(self) -> str:
        """Name of the backbone's architecture."""
        return str(self.run.backbone.get("arch", "unknown"))


@dataclass(frozen=True)
class Cell:
    """One score of one row: `records` and `values` in the order of the seeds, and the seeds that are `missing`."""

    records: tuple[Record, ...]
    values: tuple[float, ...]
    missing: tuple[int, ...]

    @property
    def value(self) -> float | None:
        """Mean over the seeds; None while a seed is missing or where the metric defines no value."""
        return None if self.missing or -1 in self.values else fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None without a value or with a single seed."""
        return None if self.value is None else deviation(self.values)


@dataclass(frozen=True)
class Table:
    """Rows that may be compared: in each column all records follow one protocol and the same deviations.

    `protocols` maps a task to its protocol id and lacks the tasks that nothing has run; `standard` is False for the
    further protocols of a task, which stand alone. `excluded` names the overlap manifests whose images do not count.
    """

    suite: Suite
    tasks: tuple[Task, ...]
    protocols: Mapping[str, str]
    overrides: Mapping[str, Any]
    excluded: str
    standard: bool
    rows: tuple[Row, ...]

    @property
    def columns(self) -> list[tuple[Task, str]]:
        """Task and score of each column."""
        return [(task, score) for task in self.tasks for score in task.scores]

    def cell(self, row: Row, task: Task, score: str) -> Cell:
        """Return the cell of `row` in the column of `score`; what is required comes from the suite."""
        records = [row.records.get((task.name, seed)) for seed in self.suite.seeds]
        found = tuple(record for record in records if record is not None and score in record.scores)
        present = {record.run.seed for record in found}
        missing = tuple(seed for seed in self.suite.seeds if seed not in present)
        return Cell(found, tuple(record.scores[score] for record in found), missing)

    def baseline(self, row: Row, task: Task, score: str) -> float | None:
        """Return what `row` has to beat: the best control of its architecture; None without one."""
        controls = [other for other in self.rows if other.run.control and other.arch == row.arch]
        values = [self.cell(control, task, score).value for control in controls]
        return max((value for value in values if value is not None), default=None)

    def lacks_control(self, row: Row, task: Task) -> bool:
        """Tell whether `row` has a value in the first column of `task` and no control to compare it with."""
        place = row, task, task.scores[0]
        return not row.run.control and self.cell(*place).value is not None and self.baseline(*place) is None

    def headline(self, row: Row) -> float | None:
        """Return the mean over the first score of each task, by which rows are ordered; None for an incomplete row."""
        values = [self.cell(row, task, task.scores[0]).value for task in self.tasks]
        complete = [value for value in values if value is not None]
        return fmean(complete) if len(complete) == len(values) else None


def left_out(record: Record, suites: Sequence[Suite]) -> str:
    """Say why no table shows `record`; empty if one does."""
    run = record.run
    suite = next((suite for suite in suites if suite.name == run.suite), None)
    if suite is None:
        return f"no suite `{run.suite}` is declared here"
    if run.task not in {task.name for task in suite.tasks}:
        return f"suite `{run.suite}` has no task `{run.task}`"
    return "" if run.seed in suite.seeds else f"suite `{run.suite}` does not ask for seed {run.seed}"


def tables_of(suite: Suite, records: Sequence[Record]) -> list[Table]:
    """Return a suite's tables: the standard one, then other protocols, without some images, then deviations."""
    mine = [record for record in records if record.run.suite == suite.name and not left_out(record, [suite])]
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in mine:
        overrides = json.dumps(plain(record.run.overrides), sort_keys=True)
        groups.setdefault((overrides, record.run.excluded), []).append(record)
    order = sorted(groups, key=lambda group: (group[0] != "{}", group))
    return [table for group in order for table in _group_tables(suite, groups[group])]


def _group_tables(suite: Suite, records: Sequence[Record]) -> list[Table]:
    """Make one table of all tasks under their first protocols, and one of one task per further protocol."""
    protocols = {task.name: _protocols(task, records) for task in suite.tasks}
    first = {name: ids[0] for name, ids in protocols.items() if ids}
    further = [(task, protocol) for task in suite.tasks for protocol in protocols[task.name][1:]]
    return [
        _table(suite, suite.tasks, first, records, standard=True),
        *(_table(suite, (task,), {task.name: protocol}, records, standard=False) for task, protocol in further),
    ]


def _protocols(task: Task, records: Iterable[Record]) -> list[str]:
    """Return the protocols of `task`: what the suite binds first, then the most rows, then the newest."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.run.task == task.name:
            found.setdefault(record.run.protocol, []).append(record)

    def rank(protocol: str) -> tuple[bool, int, str, str]:
        runs = [record.run for record in found[protocol]]
        newest = max(record.created for record in found[protocol])
        return _binds(task, runs[0]), len({_row_key(run) for run in runs}), newest, protocol

    return sorted(found, key=rank, reverse=True)


def _binds(task: Task, run: RunSpec) -> bool:
    """Whether the run trained what the suite binds today."""
    return all(plain(task[key]) == plain(run[key]) for key in ("head", "dataset", "size", "arguments"))


def _table(
    suite: Suite, tasks: tuple[Task, ...], protocols: Mapping[str, str], records: Sequence[Record], *, standard: bool
) -> Table:
    rows: dict[tuple[str, str], dict[tuple[str, int], Record]] = {}
    for record in records:
        if protocols.get(record.run.task) == record.run.protocol:
            rows.setdefault(_row_key(record.run), {})[record.run.task, record.run.seed] = record
    run = records[0].run
    table = Table(suite, tasks, protocols, run.overrides, run.excluded, standard, tuple(map(Row, rows.values())))
    return Table(**{**vars(table), "rows": tuple(sorted(table.rows, key=lambda row: _order(table, row)))})


def _row_key(run: RunSpec) -> tuple[str, str]:
    return run.checkpoint, run.origin


def _order(table: Table, row: Row) -> tuple[bool, bool, float, tuple[str, str]]:
    """Return a sort key: ranked rows, incomplete rows, controls."""
    headline = table.headline(row)
    return row.run.control, headline is None, -(headline or 0), _row_key(row.run)
