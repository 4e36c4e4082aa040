"""What a metric is: one object that says all that the rest of the program asks about it.

A metric's module exports it, `transfer.metrics.registry` lists it, and nothing else has to know its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Scores = dict[str, float]
"""Shares by name: means over the data set, then those of single classes as `<score>/<class>`."""

Floats = NDArray[np.float64]
Pairs = tuple[tuple[str, str], ...]

Rescorer = Callable[[Floats], Scores]
"""Scores by the weights (N,) of N images: how often each is in the test set. At 1 they are the metric's own."""

UNDEFINED = -1.0
"""The score of a class, or a mean over classes, that nothing defines."""


@dataclass(frozen=True)
class Files:
    """Predictions and truth of a test set.

    Label maps say neither their `classes` (names by label) nor which label is to `ignore`; a COCO annotation file says
    its own. `images` are the names of those that count, None for all.
    """

    predictions: Path
    truth: Path
    classes: tuple[str, ...] = ()
    images: tuple[str, ...] | None = None
    ignore: int = 255


@dataclass(frozen=True)
class Form:
    """A form of predictions on disk.

    `saved_as` is the name in a run's folder, itself a `folder` or a file. `images` lists the names of the images of a
    test set in order, `called` is such a name by the file name of an image, `part` gives files that hold some of the
    images only, and `given` makes files of what a user says: predictions, truth, classes and the ignored label.
    """

    saved_as: str
    folder: bool
    images: Callable[[Files], list[str]]
    called: Callable[[str], str]
    part: Callable[[Files, Collection[str]], AbstractContextManager[Files]]
    given: Callable[[Path, Path, str | None, int | None], Files]


@dataclass(frozen=True)
class Metric:
    """A metric: what it needs, how it is defined, and what its scores can and cannot be.

    `annotations` names what a data set must have (`transfer.schemas.annotations`), `fields` what each entry must say
    besides, `form` how predictions are saved. `definition` is part of every protocol: whoever changes a number changes
    it too. `scores` are the names that `evaluate` returns, in order; those that rank, which a gap is measured of, are
    the `headline`. `resample` prepares scores of images that count several times, at least of the given names; image n
    is that of `form.images`. Of a pair in `ordered` the first is never larger; a pair in `means` holds a mean and the
    beginning of the names of its classes' scores.
    """

    name: str
    annotations: str
    form: Form
    definition: str
    scores: tuple[str, ...]
    headline: tuple[str, ...]
    evaluate: Callable[[Files], Scores]
    resample: Callable[[Files, Sequence[str]], Rescorer]
    ordered: Pairs
    means: Pairs = ()
    fields: tuple[str, ...] = ()
