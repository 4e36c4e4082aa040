"""Lay out a table as Markdown lines: numbers in percent, each linked to its record file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from urllib.parse import quote

from transfer.board.overlap import overlap_cell
from transfer.board.tables import Cell, Row, Table
from transfer.board.texts import UNDEFINED, code, percent, row_name, text_cell
from transfer.schemas.record import Record
from transfer.schemas.suite import Task

MISSING = "—"
NOT_BETTER = "▽"
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def table_lines(table: Table, notes: Sequence[str]) -> list[str]:
    """Return header, rule and rows of `table`; cells refer to `notes`, the footnotes, by their position."""
    scores = [text_cell(f"{task.title} {score}") for task, score in table.columns]
    header = ["Checkpoint", "Backbone", *scores, "Overlap", "Coverage %", "Wall time"]
    rule = [":--", ":--", *["--:"] * (len(header) - 2)]
    return [_line(header), _line(rule), *(_line(_row_cells(table, row, notes)) for row in table.rows)]


def missing_note(table: Table, row: Row, task: Task) -> str:
    """Say what a partly filled task of a row lacks; empty if it has everything or nothing."""
    cells = [table.cell(row, task, score) for score in task.scores]
    if not any((task.name, seed) in row.records for seed in table.suite.seeds) or not any(c.missing for c in cells):
        return ""
    seeds = sorted({seed for cell in cells for seed in cell.missing})
    scores = [score for score, cell in zip(task.scores, cells, strict=True) if cell.missing]
    return (
        f"{row_name(row)}, {task.title}: {', '.join(scores)} missing for seed {', '.join(map(str, seeds))} "
        f"of {', '.join(map(str, table.suite.seeds))}."
    )


def link(label: str, record: Record) -> str:
    """Return `label` linked to the file of `record`."""
    return f"[{label}](records/{quote(record.run.record_name)}.json)"


def duration(seconds: float) -> str:
    """Say seconds in the unit a person would choose."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _row_cells(table: Table, row: Row, notes: Sequence[str]) -> list[str]:
    scores = [_score(table, row, task, score, notes) for task, score in table.columns]
    return [row_name(row), code(row.arch), *scores, overlap_cell(row), _coverage(row), _wall_time(table, row)]


def _score(table: Table, row: Row, task: Task, score: str, notes: Sequence[str]) -> str:
    cell = table.cell(row, task, score)
    if cell.missing:
        return MISSING + _mark(missing_note(table, row, task), notes)
    if cell.value is None:
        return _linked(cell, UNDEFINED)
    text = f"{percent(cell.value):.1f}"
    shown = _linked(cell, f"**{text}**" if _best(table, cell.value, task, score) else text)
    return f"{NOT_BETTER} {shown}" if _not_better(table, row, task, score) else shown


def _linked(cell: Cell, text: str) -> str:
    """Link a cell. One seed: the number is the link. Several: mean ± standard deviation, and a link per seed."""
    if len(cell.records) == 1:
        return link(text, cell.records[0])
    spread = "" if cell.spread is None else f" ± {percent(cell.spread):.1f}"
    return f"{text}{spread} <sup>{' '.join(link(str(record.run.seed), record) for record in cell.records)}</sup>"


def _best(table: Table, value: float, task: Task, score: str) -> bool:
    values = [table.cell(row, task, score).value for row in table.rows]
    shown = [percent(other) for other in values if other is not None]
    return percent(value) == max(shown) > min(shown)


def _not_better(table: Table, row: Row, task: Task, score: str) -> bool:
    value, baseline = table.cell(row, task, score).value, table.baseline(row, task, score)
    return not row.run.control and value is not None and baseline is not None and percent(value) <= percent(baseline)


def _mark(note: str, notes: Sequence[str]) -> str:
    return str(notes.index(note) + 1).translate(SUPERSCRIPTS) if note else ""


def _coverage(row: Row) -> str:
    """Return the lowest of the row's runs, rounded down: 100.0 means every element."""
    shares = [record.certificate["coverage"] for record in row.records.values() if record.certificate]
    return f"{math.floor(1000 * min(shares)) / 10:.1f}" if shares else UNDEFINED


def _wall_time(table: Table, row: Row) -> str:
    if any(table.cell(row, task, score).missing for task, score in table.columns):
        return MISSING
    costs = [cost for record in row.records.values() for cost in record.cost.items()]
    return duration(sum(value for key, value in costs if key.endswith("_seconds")))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
