from __future__ import annotations

from pathlib import Path

from PIL import Image

from transfer.board.plots import plot_data_curves
from transfer.results.curves import Curve, Point, fit_log_linear


def test_curves_are_a_picture_with_a_panel_for_each_task(tmp_path: Path) -> None:
    points = (Point(10, (0.1, 0.2)), Point(100, (0.3, 0.3)))
    curve = Curve("dino", "resnet50", False, "detection", (0, 1), points, fit_log_linear(points))
    widths = []
    for panels in ({"Detection AP": [curve]}, {"Detection AP": [curve], "Pose AP": [curve, curve]}):
        plot_data_curves(tmp_path / "curve.png", "Mini", panels)
        with Image.open(tmp_path / "curve.png") as image:
            widths.append(image.width)
    assert widths[1] > 1.5 * widths[0]
