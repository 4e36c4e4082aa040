"""Metrics at the borders of their definitions, and the names of what is on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from transfer.errors import BadOption, BrokenPredictions, BrokenRecord, UnknownName
from transfer.metrics.agreement import KEYPOINTS
from transfer.metrics.boxes import METRIC as BOXES
from transfer.metrics.invariants import SLACK, check_scores
from transfer.metrics.label_maps import LABEL_MAPS, count_pairs, stems_of
from transfer.metrics.metric import Files
from transfer.metrics.registry import METRICS, find_metric
from transfer.metrics.resampling import gap_intervals
from transfer.metrics.results_file import RESULTS_FILE, places_of
from transfer.metrics.scoring import table
from transfer.metrics.semantic import METRIC as MIOU
from transfer.metrics.subset import check_names

VOC = find_metric("voc")
Written = Callable[[Any, Any], tuple[Path, Path]]


def test_predictions_keep_their_names_in_run_folders() -> None:
    assert (RESULTS_FILE.saved_as, RESULTS_FILE.folder) == ("predictions.json", False)
    assert (LABEL_MAPS.saved_as, LABEL_MAPS.folder) == ("predictions", True)
    assert (RESULTS_FILE.called("city/1.jpg"), LABEL_MAPS.called("city/1.jpg")) == ("city/1.jpg", "1")


def test_what_entries_must_say_besides() -> None:
    assert {metric.name: metric.fields for metric in METRICS if metric.fields} == {"voc": ("difficult",)}
    assert all(isinstance(metric.fields, tuple) for metric in METRICS)


def test_objects_agree_by_the_similarity_of_coco() -> None:
    draw = np.random.default_rng(5)
    points = np.column_stack([draw.uniform(0, 90, (17, 2)), draw.integers(0, 3, 17)])
    moved = points + np.column_stack([draw.normal(0, 3, (17, 2)), np.zeros(17)])
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 90, 90], "area": 4000.0, "iscrowd": 0}
    truth = {**person, "keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
    found = {**person, "keypoints": moved.ravel().tolist(), "score": 0.9}
    indexes = []
    for entry in (truth, found):
        index = COCO()
        index.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": [dict(entry)]}
        index.createIndex()
        indexes.append(index)
    evaluation = COCOeval(*indexes, "keypoints")
    evaluation.evaluate()
    expected = float(evaluation.ious[1, 1][0, 0])
    assert 0.1 < expected < 0.9
    assert KEYPOINTS.agreement([truth], [found], (90, 90)) == pytest.approx(expected)


@pytest.mark.parametrize(("height", "hit"), [(5, 0), (5.01, 1), (10, 1)])
def test_voc_needs_more_than_half(written: Written, height: float, hit: float) -> None:
    box = {"image_id": 1, "category_id": 1}
    truth = {
        "images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**box, "id": 1, "bbox": [0, 0, 10, 10], "difficult": 0}],
    }  # fmt: skip
    files = Files(*written([{**box, "bbox": [0, 0, 10, height], "score": 0.5}], truth))
    scores = VOC.evaluate(files)
    assert (scores["AP50"], scores["AP50_07"], scores["AP50/cat"]) == (hit, pytest.approx(hit), hit)
    resampled = VOC.resample(files, VOC.headline)(np.ones(1))
    assert [resampled[name] for name in VOC.headline] == pytest.approx([scores[name] for name in VOC.headline])


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["keypoints", "segm"])
def test_all_results_have_boxes_or_none(written: Written, name: str, first: int) -> None:
    place = {"image_id": 1, "category_id": 1}
    mask = {"size": [4, 4], "counts": [0, 16]}
    entry = {**place, "segmentation": mask, "keypoints": [1.0] * 51, "score": 0.5}
    truth = {
        "images": [{"id": 1, "file_name": "a", "height": 4, "width": 4}], "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**entry, "id": 1, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 0, "num_keypoints": 17}],
    }  # fmt: skip
    results = [{**entry, "bbox": [0, 0, 4, 4]}, entry]
    metric = find_metric(name)
    if first == 0:
        with pytest.raises(BrokenPredictions, match="entry 1 lacks bbox"):
            metric.evaluate(Files(*written(results, truth)))
    assert metric.evaluate(Files(*written(results[:1], truth)))["AP50"] == pytest.approx(1)
    assert metric.evaluate(Files(*written(results[1:], truth)))["AP50"] == pytest.approx(1)


@pytest.mark.parametrize(("excess", "possible"), [(0, True), (SLACK - 1e-6, True), (SLACK + 1e-6, False)])
def test_crowds_excuse_half_a_percent(excess: float, possible: bool) -> None:
    for metric, scores in (
        (BOXES, {"AP": 0.4 + excess, "AP50": 0.4}),
        (MIOU, {"mAcc": 0.4 + excess, "Acc/sky": 0.4, "Acc/car": -1}),
        (MIOU, {"mAcc": 0.4 - excess, "Acc/sky": 0.4}),
    ):
        if possible:
            check_scores(metric, scores)
        else:
            with pytest.raises(BrokenRecord, match=f"^{metric.name}: "):
                check_scores(metric, scores)


def test_nothing_and_all_are_possible_and_what_is_undefined_is_not_compared() -> None:
    check_scores(BOXES, {"AP": 0, "AP50": 1, "AP75": -1, "AR1": 1.0, "AR10": -1, "AR100": 0.0})
    check_scores(MIOU, {"mIoU": -1, "IoU/sky": 0.5, "mAcc": 0.3})
    assert SLACK < 0.01


def written_maps(folder: Path, **maps: Any) -> Path:
    folder.mkdir(parents=True)
    for name, values in maps.items():
        Image.fromarray(np.array([values], np.uint8)).save(folder / f"{name}.png")
    return folder


def maps(tmp_path: Path, classes: tuple[str, ...], ignore: int = 255) -> Files:
    if not (tmp_path / "truth").exists():
        written_maps(tmp_path / "found", a=[0, 1, 1], b=[0, 0])
        written_maps(tmp_path / "truth", a=[0, 1, 255], b=[1, 0])
    return Files(tmp_path / "found", tmp_path / "truth", classes, None, ignore)


@pytest.mark.parametrize("count", [1, 256])
def test_as_many_classes_as_a_byte_has_values(tmp_path: Path, count: int) -> None:
    assert stems_of(maps(tmp_path, tuple(map(str, range(count))))) == ["a", "b"]


@pytest.mark.parametrize("classes", [(), tuple(map(str, range(257))), ("a", "a"), ("a", "")])
def test_other_classes_are_refused(tmp_path: Path, classes: tuple[str, ...]) -> None:
    message = rf"expected 1 to 256 different class names, got {len(classes)} \({len(set(classes))} different\)"
    with pytest.raises(BadOption, match=message):
        stems_of(maps(tmp_path, classes))


@pytest.mark.parametrize(("ignore", "sound"), [(-1, False), (0, True), (255, True), (256, False)])
def test_a_label_to_ignore_is_a_byte(tmp_path: Path, ignore: int, sound: bool) -> None:
    files = maps(tmp_path, tuple(map(str, range(256))), ignore)
    if sound:
        assert stems_of(files) == ["a", "b"]
    else:
        with pytest.raises(BadOption, match=f"within 0 and 255, got {ignore}"):
            stems_of(files)


def test_an_ignored_label_does_not_count_in_the_truth_and_counts_in_predictions(tmp_path: Path) -> None:
    files = maps(tmp_path, ("sky", "car"))
    scores = MIOU.evaluate(files)
    assert scores == pytest.approx(
        {"mIoU": (2 / 3 + 1 / 2) / 2, "aAcc": 3 / 4, "mAcc": 3 / 4, "IoU/sky": 2 / 3, "IoU/car": 1 / 2}
        | {"Acc/sky": 1, "Acc/car": 1 / 2}
    )
    pairs = count_pairs(np.array([[0, 1, 7]], np.uint8), np.array([[0, 2, 1]], np.uint8), ignore=7)
    assert pairs.shape == (256, 256) and pairs.sum() == 2 and pairs[0, 0] == pairs[1, 2] == 1


@pytest.mark.parametrize(("count", "listed"), [(3, "a.png, b.png, c.png"), (4, "a.png, b.png, c.png, …")])
def test_three_maps_that_are_missing_are_listed(tmp_path: Path, count: int, listed: str) -> None:
    truth = written_maps(tmp_path / "truth", **{name: [0] for name in "abcd"[:count]}, z=[0])
    found = written_maps(tmp_path / "found", z=[0])
    for files, lacking, other in (((found, truth), found, truth), ((truth, found), found, truth)):
        with pytest.raises(BrokenPredictions) as caught:
            LABEL_MAPS.given(*files, "2", None)
        assert (
            f"{lacking}: expected the same names as in {other}, {count} of {count + 1} are missing: {listed}."
            in str(caught.value)
        )


def test_classes_are_a_number_or_names(tmp_path: Path) -> None:
    folder = written_maps(tmp_path / "truth", a=[0])
    assert LABEL_MAPS.given(folder, folder, "3", None).classes == ("0", "1", "2")
    given = LABEL_MAPS.given(folder, folder, "sky,road", 7)
    assert (given.classes, given.ignore, given.images) == (("sky", "road"), 7, None)
    assert LABEL_MAPS.given(folder, folder, "3", 0).ignore == 0
    with pytest.raises(BadOption, match="expected 1 to 256 different class names, got 1000"):
        stems_of(LABEL_MAPS.given(folder, folder, "99999999999", None))
    for classes, ignore in (("3", None), (None, 0)):
        with pytest.raises(BadOption, match="are for label maps"):
            RESULTS_FILE.given(folder, folder, classes, ignore)


@pytest.mark.parametrize(("count", "listed"), [(3, "x0, x1, x2; nearest"), (4, "x0, x1, x2, …; nearest")])
def test_images_that_are_not_there_are_counted_and_three_listed(count: int, listed: str) -> None:
    with pytest.raises(BadOption) as caught:
        check_names([f"x{n}" for n in range(count)], ["y1", "x9"], Path("truth.json"))
    assert f"truth.json: expected some of its 2 images, got {count} that it lacks: {listed} to the first: x9." in str(
        caught.value
    )
    with pytest.raises(BadOption, match="nearest to the first: none"):
        check_names(["x"], [], Path("truth.json"))


def test_images_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    images = [{"id": number, "file_name": name} for number, name in ((10, "b"), (9, "c"), (8, "a"), (7, "b"))]
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    files = Files(tmp_path / "none.json", truth)
    assert RESULTS_FILE.images(files) == ["a", "b", "b", "c"]
    assert dict(places_of(files)) == {8: 0, 10: 1, 7: 2, 9: 3}


@pytest.mark.parametrize("options", [{"draws": 0}, {"level": 0}, {"level": 1}])
def test_intervals_need_draws_and_a_level(tmp_path: Path, options: dict[str, Any]) -> None:
    files = maps(tmp_path, ("sky", "car"))
    with pytest.raises(BadOption, match=r"expected draws > 0 and 0 < level < 1"):
        gap_intervals(MIOU, files, ["a"], scores=["mIoU"], **options)
    with pytest.raises(UnknownName, match="resampled score of miou"):
        gap_intervals(MIOU, files, ["a"], scores=["IoU/sky"])


def test_one_draw_is_an_interval_and_all_images_have_no_gap(tmp_path: Path) -> None:
    files = maps(tmp_path, ("sky", "car"))
    gap = gap_intervals(MIOU, files, ["a", "b"], scores=["aAcc"], draws=1)["aAcc"]
    assert (gap.full, gap.clean, gap.gap, gap.low, gap.high) == (0.75, 0.75, 0, 0, 0)
    none = gap_intervals(MIOU, files, [], scores=["aAcc"], draws=1)["aAcc"]
    assert (none.full, none.clean, none.gap, none.low, none.high) == (0.75, -1, None, None, None)


def test_the_interval_is_that_of_the_quantiles(tmp_path: Path) -> None:
    """Of two images one is drawn twice in half of the draws; the clean one is missing in a quarter of them."""
    files = maps(tmp_path, ("sky", "car"))
    narrow = gap_intervals(MIOU, files, ["a"], scores=["aAcc"], draws=400, level=0.1)["aAcc"]
    wide = gap_intervals(MIOU, files, ["a"], scores=["aAcc"], draws=400, level=0.98)["aAcc"]
    assert (wide.full, wide.clean, wide.gap) == (0.75, 1.0, -0.25)
    assert (wide.low, wide.high) == (-0.25, 0.0) and (narrow.low, narrow.high) == (-0.25, -0.25)


def test_a_table_of_means_is_a_line_each_and_one_of_classes_stands_below() -> None:
    assert table({"AP": 0.5, "AP50_07": -1}) == "AP           50.00\nAP50_07          —"
    assert table({"mIoU": 1, "IoU/sky": 0.25, "IoU/long name": -1, "Acc/sky": 0, "Acc/long name": 1}).splitlines() == [
        "mIoU        100.00",
        "",
        "class         IoU     Acc",
        "sky         25.00    0.00",
        "long name       —  100.00",
    ]
