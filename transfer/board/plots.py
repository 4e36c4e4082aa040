"""Plot records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer.results.curves import Curve


def plot_data_curves(path: Path, title: str, panels: Mapping[str, Sequence[Curve]]) -> None:
    """Write `path` (PNG): a panel for each task, scores in percent over images (logarithmic), and the fitted lines."""
    figure = Figure(figsize=(max(5.5, 4.6 * len(panels)), 4.2), layout="constrained")
    axes = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
    for axis, (name, curves) in zip(axes, panels.items(), strict=False):
        for index, curve in enumerate(curves):
            _draw_curve(axis, curve, f"C{index}")
        axis.set(xlabel="training images", ylabel="score (%)", title=name, xscale="log")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path, format="png", dpi=110)


def _draw_curve(axis: Axes, curve: Curve, colour: str) -> None:
    """Draw points with the spread over seeds, and the line; a control's is dashed."""
    images = [point.images for point in curve.points]
    errors = [100 * (point.spread or 0) for point in curve.points]
    values = [100 * point.value for point in curve.points]
    slope = f"{100 * curve.fit.per_tenfold:+.1f} per tenfold"
    axis.errorbar(images, values, errors, fmt="o", color=colour, capsize=3, label=f"{curve.checkpoint}: {slope}")
    ends = [images[0], images[-1]]
    line = [100 * (curve.fit.at_one + curve.fit.per_tenfold * math.log10(end)) for end in ends]
    axis.plot(ends, line, color=colour, linestyle="--" if curve.control else "-", alpha=0.7)
