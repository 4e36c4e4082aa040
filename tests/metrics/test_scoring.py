from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from transfer.errors import BadOption, BrokenPredictions
from transfer.metrics.scoring import score_anything, table


@pytest.fixture
def maps(tmp_path):
    """Two images: all of the first is right, none of the second."""
    for folder, labels in (("truth", (0, 1)), ("found", (0, 2))):
        (tmp_path / folder).mkdir()
        for stem, label in zip("ab", labels, strict=True):
            Image.fromarray(np.full((2, 2), label, np.uint8)).save(tmp_path / folder / f"{stem}.png")
    return tmp_path / "found", tmp_path / "truth"


def test_folders_of_label_maps(maps):
    scores = score_anything("miou", *maps, classes="4")
    assert (scores["aAcc"], scores["IoU/0"], scores["IoU/1"], scores["Acc/3"]) == (0.5, 1, 0, -1)
    assert score_anything("miou", *maps, classes="sky,car,tree", ignore=1)["IoU/sky"] == 1


@pytest.mark.parametrize(
    ("lacking", "pattern"), [(0, "found: expected the same names"), (1, "truth: expected the same")]
)
def test_a_map_that_only_one_folder_has(maps, lacking, pattern):
    (maps[lacking] / "b.png").unlink()
    with pytest.raises(BrokenPredictions, match=rf"{pattern}.*1 of 2 are missing: b.png"):
        score_anything("miou", *maps, classes="3")


@pytest.mark.parametrize("classes", ["0", "257", "9" * 30, "sky,sky", ""])
def test_impossible_classes(maps, classes):
    with pytest.raises(BadOption, match="1 to 256 different class names"):
        score_anything("miou", *maps, classes=classes)


def test_classes_have_a_line_each():
    text = table({"mIoU": 0.25, "aAcc": 1.0, "IoU/sky": 0.5, "IoU/car": -1.0, "Acc/sky": 0.125, "Acc/car": -1.0})
    assert [line.split() for line in text.splitlines()] == [
        ["mIoU", "25.00"], ["aAcc", "100.00"], [],
        ["class", "IoU", "Acc"], ["sky", "50.00", "12.50"], ["car", "—", "—"],
    ]  # fmt: skip
