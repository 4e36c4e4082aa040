"""Predictions are scored from files alone, without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfer.datasets.declaration import find_declaration
from transfer.datasets.layouts import Split
from transfer.datasets.opening import open_splits
from transfer.metrics.boxes import BOX_SCORES, score_boxes
from transfer.metrics.masks import score_masks
from transfer.metrics.registry import find_metric
from transfer.metrics.voc import VOC_SCORES
from transfer.schemas.run import RunSpec
from transfer.stages.job import Job
from transfer.stages.score import score


def job(folder: Path, metric: str, truth: Path, classes: tuple[str, ...] = ()) -> Job:
    run = RunSpec("c", "random", {}, {}, "s", "t", "r", 0, {}, "w", "p")
    return Job(folder, run, find_metric(metric), Split(folder, truth), classes, {}, None)


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_masks_are_scored_beside_their_boxes(tmp_path: Path) -> None:
    """Half of the mask is found, and all of its box."""
    mask, half = ({"size": [10, 10], "counts": [0, covered, 100 - covered]} for covered in (50, 30))
    place = {"image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 10]}
    target = {**place, "id": 1, "segmentation": mask, "area": 50, "iscrowd": 0}
    image = {"id": 1, "height": 10, "width": 10}
    truth = {"images": [image], "categories": [{"id": 2}], "annotations": [target]}
    asked = job(tmp_path, "segm", written(tmp_path / "truth.json", truth))
    written(asked.predictions, [{**place, "segmentation": half, "score": 0.5}])
    scores = score(asked)["scores"]
    assert set(scores) == {*BOX_SCORES, *(f"bbox/{name}" for name in BOX_SCORES)}
    files = asked.predictions, tmp_path / "truth.json"
    assert scores == score_masks(*files, own_areas=True) | {
        f"bbox/{name}": value for name, value in score_boxes(*files).items()
    }
    assert scores["AP75"] == 0 and scores["bbox/AP75"] == pytest.approx(1)


XML = """<annotation><size><width>200</width><height>100</height></size><object><name>WBC</name>
<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object></annotation>"""


def test_voc_measures_boxes_with_their_last_pixel(tmp_path: Path) -> None:
    """Pixels 11 to 20 in both directions are ten of each: 6 × 10 of them overlap by 0.6, 5 × 10 by 0.5, not more."""
    base = tmp_path / "bccd" / "BCCD"
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (base / folder).mkdir(parents=True)
    for part, stem in (("trainval", "a"), ("test", "b")):
        (base / f"ImageSets/Main/{part}.txt").write_text(stem)
        (base / f"Annotations/{stem}.xml").write_text(XML)
        Image.new("RGB", (200, 100)).save(base / f"JPEGImages/{stem}.jpg")
    _, test = open_splits(find_declaration("bccd", tmp_path), "boxes", tmp_path, tmp_path / "work")
    asked = job(tmp_path, "voc", test.annotations)
    category = json.loads(test.annotations.read_text(encoding="utf-8"))["annotations"][0]["category_id"]
    for width, expected in ((6, 1.0), (5, 0.0)):
        found = {"image_id": 1, "category_id": category, "bbox": [10, 20, width, 10], "score": 0.9}
        written(asked.predictions, [found])
        scores = score(asked)["scores"]
        assert scores["AP50"] == scores["AP50_07"] == expected
        assert set(VOC_SCORES) < set(scores) and scores["AP50/RBC"] == -1


def test_label_maps_have_two_scores_for_every_class(tmp_path: Path) -> None:
    for folder, labels in (("truth", [[0, 0, 1, 255]]), ("predictions", [[0, 1, 1, 1]])):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.array(labels, np.uint8)).save(tmp_path / folder / "a.png")
    scores = score(job(tmp_path, "miou", tmp_path / "truth", ("sky", "car")))["scores"]
    assert scores == pytest.approx({
        "mIoU": 0.5, "aAcc": 2 / 3, "mAcc": 0.75, "IoU/sky": 0.5, "IoU/car": 0.5, "Acc/sky": 0.5, "Acc/car": 1,
    })  # fmt: skip
