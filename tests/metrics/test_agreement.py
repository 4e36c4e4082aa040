from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle

from transfer.metrics.agreement import BOXES, KEYPOINTS, MASKS, agree_on_labels, decode_mask, surest

SIZE = (60, 80)
sides = st.integers(1, 30)
boxes = st.tuples(st.integers(0, 40), st.integers(0, 25), sides, sides).map(list)
objects = st.lists(st.fixed_dictionaries({"bbox": boxes, "category_id": st.integers(1, 2)}), min_size=1, max_size=6)


def scored(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "score": 1 / (index + 1)} for index, entry in enumerate(entries)]


def polygons(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    corners = [(x, y, x + w, y + h) for x, y, w, h in (entry["bbox"] for entry in entries)]
    outlines = [[[x, y, right, y, right, bottom, x, bottom]] for x, y, right, bottom in corners]
    return [{**entry, "segmentation": outline} for entry, outline in zip(entries, outlines, strict=True)]


@given(objects)
def test_the_truth_agrees_with_itself(entries: list[dict[str, Any]]) -> None:
    assert BOXES.agreement(entries, scored(entries), SIZE) == pytest.approx(1)
    masks = polygons(entries)
    assert MASKS.agreement(masks, scored(masks), SIZE) == pytest.approx(1)


@given(objects, objects, st.randoms())
def test_agreement_is_a_share_and_ignores_the_order_of_the_file(
    truth: list[dict[str, Any]], found: list[dict[str, Any]], random: Any
) -> None:
    predictions = scored(found)
    agreement = BOXES.agreement(truth, predictions, SIZE)
    random.shuffle(predictions)
    assert 0 <= agreement <= 1 and BOXES.agreement(truth, predictions, SIZE) == pytest.approx(agreement)


def test_a_box_of_another_category_or_below_the_cut_finds_nothing() -> None:
    box = {"bbox": [0, 0, 10, 10], "category_id": 1}
    half = {"bbox": [0, 0, 10, 5], "category_id": 1}
    assert BOXES.agreement([box], [{**box, "category_id": 2, "score": 1.0}], SIZE) == 0
    assert BOXES.agreement([box], [], SIZE) == 0
    assert BOXES.agreement([box], [{**half, "score": 0.9}, {**box, "score": 0.8}], SIZE) == pytest.approx(0.5)
    assert [entry["score"] for entry in surest([{"score": 0.1}, {"score": 0.3}, {"score": 0.2}], 2)] == [0.3, 0.2]


def test_joints_agree_by_object_keypoint_similarity() -> None:
    person = {"keypoints": [10, 10, 2] * 16 + [0, 0, 0], "area": 100.0, "category_id": 1, "num_keypoints": 16}
    hidden = [10, 10, 0.9] * 16 + [70, 50, 0.9]
    assert KEYPOINTS.agreement([person], [{**person, "keypoints": hidden, "score": 1.0}], SIZE) == 1
    nose_only = {**person, "keypoints": [10, 10, 2] + [0, 0, 0] * 16}
    off = {**person, "keypoints": [13, 14, 0.9] * 17, "score": 1.0}
    expected = np.exp(-25 / (2 * 0.026) ** 2 / 100 / 2)
    assert KEYPOINTS.agreement([nose_only], [off], SIZE) == pytest.approx(expected)


def test_what_should_be_found() -> None:
    odd = [{"iscrowd": 1}, {"ignore": 1}, {"difficult": 1}]
    assert BOXES.to_find([*odd, {"iscrowd": 0, "difficult": 0}]) == [{"iscrowd": 0, "difficult": 0}]
    assert KEYPOINTS.to_find([{"num_keypoints": 0}, {"num_keypoints": 3}]) == [{"num_keypoints": 3}]


def test_labels_agree_by_mean_iou_of_the_classes_shown() -> None:
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    assert agree_on_labels(truth, truth) == 1
    assert agree_on_labels(truth, np.array([[0, 1, 1, 7]], np.uint8)) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert agree_on_labels(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8)) == 1


def test_masks_of_every_form_decode_alike() -> None:
    square = np.zeros(SIZE, np.uint8, order="F")
    square[10:20, 30:50] = 1
    compressed = rle.encode(square)
    text = {**compressed, "counts": compressed["counts"].decode()}
    runs = {"size": list(SIZE), "counts": [30 * 60 + 10, *[10, 50] * 19, 10, 60 * 80 - 49 * 60 - 20]}
    outline = [[30, 10, 50, 10, 50, 20, 30, 20]]
    for form in (compressed, text, runs, outline):
        assert np.array_equal(decode_mask(form, SIZE), square)
