"""Say how many test images are among the pre-training images, and what they do to scores."""

from __future__ import annotations

from transfer.board.tables import Row, Table
from transfer.board.texts import code, row_name, share_text
from transfer.schemas.record import Record
from transfer.schemas.suite import Task


def overlap_cell(row: Row) -> str:
    """Return the share of test images that the pre-training images hold, the largest of the row's tasks."""
    overlaps = [record.overlap for record in row.records.values()]
    if all(overlap["status"] == "measured" for overlap in overlaps):
        return share_text(max(each["counts"]["duplicate"] / each["counts"]["images"] for each in overlaps))
    return "none" if all(overlap["status"] == "none by construction" for overlap in overlaps) else "unknown"


def describe_excluded(table: Table) -> str:
    """Say which test images do not count in a table; empty where all do."""
    if not table.excluded:
        return ""
    overlaps = [record.overlap for row in table.rows for record in row.records.values()]
    corpora = sorted({code(each["corpus"]["name"]) for overlap in overlaps for each in overlap.get("manifests", ())})
    return f"without test images that resemble some of {' and '.join(corpora)} (overlap {code(table.excluded[:8])})"


def gap_lines(table: Table) -> list[str]:
    """Say how much the excluded test images lift the first score of each task, a line for each run."""
    lines = [
        _gap(row, task, record)
        for row in table.rows
        for task in table.tasks
        for (name, _), record in sorted(row.records.items(), key=lambda item: item[0])
        if name == task.name and record.run.excluded
    ]
    title = "What the test images that were left out do to the full score (95 % intervals, resampling test images):"
    return [title, "", *lines] if lines else []


def _gap(row: Row, task: Task, record: Record) -> str:
    counts, score = record.overlap["counts"], task.scores[0]
    unsure = counts["images"] - counts["clean"] - counts["duplicate"]
    parts = [f"{counts['duplicate']:,} of {counts['images']:,} test images left out"]
    parts += [f"{unsure:,} undecided"] if unsure else []
    parts.append(f"full {share_text(record.overlap['full'].get(score, -1))}")
    parts.append(f"clean {share_text(record.scores.get(score, -1))}")
    parts.append(f"those alone {share_text(record.overlap['duplicate'].get(score, -1))}")
    gap = record.overlap["gap"].get(score)
    if gap and gap["low"] is not None:
        middle, low, high = (f"{100 * gap[key]:+.1f}" for key in ("gap", "low", "high"))
        parts.append(f"full − clean {middle} ({low} to {high})")
    return f"- {row_name(row)}, {task.title} {score}, seed {record.run.seed}: {', '.join(parts)}."
