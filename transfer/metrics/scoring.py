"""Scores of anyone's predictions by the name of a metric, and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from transfer.metrics.metric import UNDEFINED, Scores
from transfer.metrics.registry import find_metric


def score_anything(
    metric: str, predictions: Path, truth: Path, classes: str | None = None, ignore: int | None = None
) -> Scores:
    """Score two files, or two folders of label maps of equal names, by the metric of that name.

    `classes` is the number of classes or their names, separated by commas; `ignore` the label that does not count
    (255); both belong to label maps only. Raises UnknownName, BadOption or DataError.
    """
    found = find_metric(metric)
    return found.evaluate(found.form.given(predictions, truth, classes, ignore))


def table(scores: Mapping[str, float]) -> str:
    """Lay out percentages, one score a line; below them those of the classes (`<score>/<class>`), one class a line."""
    means = {name: value for name, value in scores.items() if "/" not in name}
    lines = [f"{name:10} {_percent(value)}" for name, value in means.items()]
    columns = list(dict.fromkeys(name.partition("/")[0] for name in scores if "/" in name))
    rows = dict.fromkeys(name.partition("/")[2] for name in scores if "/" in name)
    if not columns:
        return "\n".join(lines)
    width = max(len("class"), *map(len, rows))
    lines += ["", " ".join([f"{'class':{width}}", *(f"{column:>7}" for column in columns)])]
    for row in rows:
        values = (_percent(scores[f"{column}/{row}"]) for column in columns)
        lines.append(" ".join([f"{row:{width}}", *values]))
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{'—':>7}" if value == UNDEFINED else f"{100 * value:7.2f}"
