"""Fit scores over the number of training images with a straight line on a logarithmic axis.

Sun et al. (ICCV 2017, Figure 4) found scores to grow with the logarithm of the data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression, stdev

from transfer.schemas.mapping import plain
from transfer.schemas.record import Record
from transfer.schemas.suite import Suite

SUBSET = "subset"
"""The override that says which part of the training images is used: data, not head."""


@dataclass(frozen=True)
class LogLinear:
    """The line score = `at_one` + `per_tenfold` · log10(images).

    `error` is the slope's standard error, None for two points.

    `explained` is the share of the scores' variance that the line explains (R²).
    """

    at_one: float
    per_tenfold: float
    error: float | None
    explained: float


@dataclass(frozen=True)
class Point:
    """Mean of `values`, one for each seed, after fine-tuning on `images`."""

    images: int
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """Mean over the seeds."""
        return fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None for a single one."""
        return deviation(self.values)


@dataclass(frozen=True)
class Curve:
    """One checkpoint on one task: points in order of their images, all of the same seeds, and the line through them."""

    checkpoint: str
    arch: str
    control: bool
    task: str
    seeds: tuple[int, ...]
    points: tuple[Point, ...]
    fit: LogLinear


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (divided by n - 1); None for fewer than two values, which show no spread."""
    return stdev(values) if len(values) > 1 else None


def fit_log_linear(points: Sequence[Point]) -> LogLinear:
    """Fit least squares through the means of at least two different numbers of images."""
    xs, ys = [math.log10(point.images) for point in points], [point.value for point in points]
    slope, intercept = linear_regression(xs, ys)
    residue = sum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    spread, width = (sum((value - fmean(values)) ** 2 for value in values) for values in (ys, xs))
    error = math.sqrt(residue / (len(xs) - 2) / width) if len(xs) > 2 else None
    return LogLinear(intercept, slope, error, 1 - residue / spread if spread else 1.0)


def curves_of(suite: Suite, records: Iterable[Record]) -> list[Curve]:
    """Return a curve of each task's first score for all in `records` that ran on two or more amounts of data.

    Runs of one curve differ in `--subset` and seed only. Only seeds that every point has count: no partial means.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.run.suite == suite.name and record.run.task in {task.name for task in suite.tasks}:
            groups.setdefault(_key(record), []).append(record)
    found = [_curve(suite, group) for _, group in sorted(groups.items())]
    return [curve for curve in found if curve is not None]


def _key(record: Record) -> tuple[str, ...]:
    run, others = record.run, {key: value for key, value in record.run.overrides.items() if key != SUBSET}
    parts = (run.backbone, run.input, others, run.arguments, record.data["test"].get("sha256"))
    texts = [json.dumps(plain(part), sort_keys=True) for part in parts]
    return run.task, run.checkpoint, run.weights, run.head, run.dataset, run.size, *texts


def _curve(suite: Suite, records: Sequence[Record]) -> Curve | None:
    run = records[0].run
    sizes = _by_size(records, suite.task(run.task).scores[0])
    seeds = sorted(set.intersection(*(set(values) for values in sizes.values())))
    if len(sizes) < 2 or not seeds:
        return None
    points = tuple(Point(images, tuple(values[seed] for seed in seeds)) for images, values in sorted(sizes.items()))
    arch = str(run.backbone.get("arch", "unknown"))
    return Curve(run.checkpoint, arch, run.control, run.task, tuple(seeds), points, fit_log_linear(points))


def _by_size(records: Sequence[Record], score: str) -> Mapping[int, Mapping[int, float]]:
    """Map images to seed to score. The newest of several records of one seed counts."""
    found: dict[int, dict[int, float]] = {}
    for record in sorted(records, key=lambda record: record.created):
        if (value := record.scores.get(score, -1)) != -1:
            found.setdefault(record.data["train"]["images"], {})[record.run.seed] = value
    return found
