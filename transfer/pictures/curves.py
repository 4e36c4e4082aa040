"""Curves of a run: loss and scores over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]


def plot_run(path: Path, title: str, losses: Points, scores: Mapping[str, Points]) -> None:
    """Write `path` (PNG): the loss, and next to it each of `scores` (shares) where there are some, over steps."""
    figure = Figure(figsize=(10 if scores else 5, 3.6), layout="constrained")
    axes = figure.subplots(1, 2 if scores else 1, squeeze=False)[0]
    axes[0].plot(*zip(*losses, strict=True), color="tab:red")
    axes[0].set(xlabel="step", ylabel="loss")
    for name, points in scores.items():
        steps, values = zip(*points, strict=True)
        axes[1].plot(steps, [100 * value for value in values], marker="o", label=name)
    if scores:
        axes[1].set(xlabel="step", ylabel="score (%)")
        axes[1].legend()
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, format="png", dpi=110)
