from __future__ import annotations

import json

import pytest

from transfer.errors import BrokenAnnotation, BrokenPredictions, MissingData
from transfer.metrics.boxes import score_boxes

OBJECT = {"id": 1, "image_id": 11, "category_id": 2, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0}
TRUTH = {"images": [{"id": 11}, {"id": 12}], "categories": [{"id": 2, "name": "cat"}], "annotations": [OBJECT]}
FOUND = {"image_id": 11, "category_id": 2, "bbox": [0, 0, 10, 10], "score": 0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 13}, "entry 1 has image_id 13, which the annotation file does not define. Nearest of 2: 1"),
        ({"image_id": [11]}, "entry 1 has image_id"),
        ({"category_id": 3}, "entry 1 has category_id 3, which the annotation file does not define. Nearest of 1: 2"),
        ({"bbox": [0, 0, 1]}, "entry 1 has 3 values as bbox; expected 4 numbers"),
        ({"bbox": [0, 0, 1, float("nan")]}, "entry 1 has .* as bbox; expected finite numbers"),
        ({"bbox": None}, "entry 1 has NoneType as bbox; expected 4 numbers"),
        ({"score": "high"}, "entry 1 has 'high' as score; expected finite numbers"),
    ],
)
def test_a_broken_detection_is_named(written, change, message):
    with pytest.raises(BrokenPredictions, match=f"predictions.json: {message}"):
        score_boxes(*written([FOUND, {**FOUND, **change}], TRUTH))


def test_a_missing_key_is_named(written):
    with pytest.raises(BrokenPredictions, match="entry 0 lacks score; expected image_id, category_id, bbox, score"):
        score_boxes(*written([{key: value for key, value in FOUND.items() if key != "score"}], TRUTH))


@pytest.mark.parametrize("predictions", [{"boxes": []}, 3, [3], "text"])
def test_predictions_of_another_form(written, predictions):
    with pytest.raises(BrokenPredictions, match=r"predictions\.json"):
        score_boxes(*written(predictions, TRUTH))


@pytest.mark.parametrize("content", [b"", b'[{"image_id": 11', b"\xff\xfe\x00", b"PK\x03\x04", b"[" * 100_000])
def test_predictions_that_are_not_json(written, content):
    predictions, truth = written([], TRUTH)
    predictions.write_bytes(content)
    with pytest.raises(BrokenPredictions, match=r"predictions\.json: expected a readable JSON file"):
        score_boxes(predictions, truth)


def test_missing_files(written, tmp_path):
    predictions, truth = written([], TRUTH)
    with pytest.raises(BrokenPredictions, match=r"none\.json"):
        score_boxes(tmp_path / "none.json", truth)
    with pytest.raises(MissingData, match=r"none\.json: expected a COCO annotation file"):
        score_boxes(predictions, tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": {}}, "expected an object with lists of objects under images"),
        ({"images": [{}]}, "needs an id"),
        ({"annotations": [{**OBJECT, "image_id": 99}]}, "entry 0 has image_id 99"),
        ({"annotations": [{"image_id": 11, "category_id": 2, "bbox": [0, 0, 1, 1]}]}, "lacks area, iscrowd"),
    ],
)
def test_broken_truth(written, change, message):
    with pytest.raises(BrokenAnnotation, match=message):
        score_boxes(*written([], {**TRUTH, **change}))


def test_inputs_are_not_changed(written):
    predictions, truth = written([FOUND], TRUTH)
    score_boxes(predictions, truth)
    assert (json.loads(predictions.read_text()), json.loads(truth.read_text())) == ([FOUND], TRUTH)


@pytest.mark.real_data
def test_predictions_for_images_of_another_set(fixtures):
    folder = fixtures / "fce_small"
    with pytest.raises((BrokenPredictions, BrokenAnnotation), match="image_id"):
        score_boxes(folder / "dt_ignore_test.json", folder / "gt_ignore_test.json")
