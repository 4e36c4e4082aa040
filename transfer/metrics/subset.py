"""Scores of some of a test set's images: what the metric says about files that hold nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path

from transfer.errors import BadOption, DataError
from transfer.metrics.metric import UNDEFINED, Files, Metric, Scores

SHOWN = 3
"""Names that a message lists."""


def score_part(metric: Metric, files: Files, images: Collection[str]) -> Scores:
    """Score only `images`, named as `metric.form` names them; of no images, every score is undefined.

    Raises BadOption for images that the truth lacks, and whatever DataError the metric raises.
    """
    check_names(images, metric.form.images(files), files.truth)
    if not images:
        return dict.fromkeys(metric.evaluate(files), UNDEFINED)
    try:
        with metric.form.part(files, images) as part:
            return metric.evaluate(part)
    except DataError:
        metric.evaluate(files)  # says the same of an entry that the caller can look up
        raise


def check_names(images: Iterable[str], known: Iterable[str], truth: Path) -> None:
    """Raise BadOption that lists those of `images` that are none of the `known` names of `truth`."""
    available = set(known)
    if not (unknown := sorted(set(images) - available)):
        return
    some = ", ".join(unknown[:SHOWN]) + (", …" if len(unknown) > SHOWN else "")
    close = difflib.get_close_matches(unknown[0], available, n=1, cutoff=0)
    raise BadOption(
        f"{truth}: expected some of its {len(available)} images, got {len(unknown)} that it lacks: {some}; "
        f"nearest to the first: {close[0] if close else 'none'}. Were they listed for another data set?"
    )
