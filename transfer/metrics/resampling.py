"""How much of a score is owed to some of the images, with a confidence interval from resampling the images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from transfer.errors import BadOption, UnknownName
from transfer.metrics.metric import UNDEFINED, Files, Floats, Metric, Rescorer
from transfer.metrics.subset import check_names


@dataclass(frozen=True)
class Gap:
    """A score of the whole test set and of its clean images, as shares or -1 (undefined).

    `gap` is full - clean, `low` to `high` its interval; each None where nothing defines it.
    """

    full: float
    clean: float
    gap: float | None
    low: float | None
    high: float | None


def gap_intervals(
    metric: Metric,
    files: Files,
    clean: Collection[str],
    *,
    scores: Sequence[str],
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Gap]:
    """Return percentile bootstrap intervals (Efron, 1979) of full - clean at confidence `level`, by name of `scores`.

    `clean` names images as `metric.form` does; `scores` are some of the metric's headline. Each draw takes as many
    images as there are, with replacement, and scores them and the clean ones among them; draws in which either is
    undefined are left out. Where no image is clean, gap and interval are None; where all are, they are 0. The same for
    the same seed, in whatever order files list their images. Raises UnknownName, BadOption, BrokenPredictions,
    BrokenAnnotation, MissingData or CorruptImage.
    """
    _check(metric, scores, draws, level)
    names = metric.form.images(files)
    check_names(clean, names, files.truth)
    rescore = metric.resample(files, scores)
    kept = np.isin(names, list(clean)).astype(np.float64)
    whole = np.array(_both(rescore, np.ones(len(names)), kept, scores))
    drawn = np.array([_both(rescore, weights, kept, scores) for weights in _draws(len(names), draws, seed)])
    return {name: _gap(whole[:, place], drawn[:, :, place], level) for place, name in enumerate(scores)}


def _check(metric: Metric, scores: Sequence[str], draws: int, level: float) -> None:
    for name in scores:
        if name not in metric.headline:
            raise UnknownName.among(f"resampled score of {metric.name}", name, metric.headline)
    if draws < 1 or not 0 < level < 1:
        raise BadOption(f"expected draws > 0 and 0 < level < 1, got {draws} and {level}.")


def _draws(images: int, draws: int, seed: int) -> Iterator[Floats]:
    """How often each image is drawn."""
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(generator.integers(max(images, 1), size=images), minlength=images).astype(np.float64)


def _both(rescore: Rescorer, weights: Floats, clean: Floats, scores: Sequence[str]) -> list[list[float]]:
    """(2, scores) of all images and of the clean ones."""
    return [[found[name] for name in scores] for found in (rescore(weights), rescore(weights * clean))]


def _gap(whole: Floats, drawn: Floats, level: float) -> Gap:
    """From a score (2,) of all images and of the clean ones, and those of each draw (draws, 2)."""
    full, clean = map(float, whole)
    defined = drawn[(drawn != UNDEFINED).all(axis=1)]
    if UNDEFINED in (full, clean) or not len(defined):
        return Gap(full, clean, None if UNDEFINED in (full, clean) else full - clean, None, None)
    low, high = np.quantile(defined[:, 0] - defined[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return Gap(full, clean, full - clean, float(low), float(high))
