from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.errors import BrokenAnnotation, BrokenPredictions
from transfer.metrics.invariants import check_scores
from transfer.metrics.voc import METRIC, VOC_SCORES, score_voc

IMAGES, CATEGORIES = (4, 2), (7, 3, 5)
NAMES = {7: "cat", 3: "dog", 5: "cow"}

corners = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 9), st.integers(0, 9))
places = st.fixed_dictionaries(
    {
        "image_id": st.sampled_from(IMAGES),
        "category_id": st.sampled_from(CATEGORIES[:2]),
        "corners": corners.map(lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3])),  # VOC's, from 1, with the last pixel
    }
)
objects = st.lists(st.tuples(places, st.sampled_from([0, 0, 1])), max_size=6)
ranks = st.lists(places, max_size=12)


def boxed(place):
    left, top, right, bottom = place["corners"]
    return {**place, "bbox": [left - 1, top - 1, right - left + 1, bottom - top + 1]}


def files_of(objects, detections):
    """The devkit leaves the order of equal scores open, so every detection has its own."""
    annotations = [{**boxed(place), "difficult": difficult} for place, difficult in objects]
    categories = [{"id": number, "name": NAMES[number]} for number in CATEGORIES]
    truth = {"images": [{"id": number} for number in IMAGES], "categories": categories, "annotations": annotations}
    return [{**boxed(place), "score": 1 - n / 100} for n, place in enumerate(detections)], truth


def evaluate(objects, detections, threshold):
    """VOCevaldet.m in plain loops, on VOC's own corners: recall and precision after every detection."""
    positives = sum(not difficult for _, difficult in objects)
    detected, tp, fp, curve = set(), 0, 0, []
    for found in detections:
        best, index = -math.inf, None
        for number, (target, _) in enumerate(objects):
            if target["image_id"] != found["image_id"]:
                continue
            a, b = found["corners"], target["corners"]
            width = min(a[2], b[2]) - max(a[0], b[0]) + 1
            height = min(a[3], b[3]) - max(a[1], b[1]) + 1
            if width > 0 and height > 0:
                areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
                overlap = width * height / (sum(areas) - width * height)
                if overlap > best:
                    best, index = overlap, number
        if index is None or best <= threshold:
            fp += 1
        elif not objects[index][1]:
            tp, fp = (tp, fp + 1) if index in detected else (tp + 1, fp)
            detected.add(index)
        curve.append((tp / positives, tp / (tp + fp) if tp + fp else 0.0))
    return curve


def eleven_point_average(curve):
    """VOC's and detectron2's levels are multiples of 0.1 in floating point: 0.3 falls short of the fourth."""
    return sum(max((p for r, p in curve if r >= level * 0.1), default=0) for level in range(11)) / 11


def area_under_curve(curve):
    """VOCap.m: precision made monotonic from the right, summed where recall changes."""
    recall = [0, *(r for r, _ in curve), 1]
    precision = [0, *(p for _, p in curve), 0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def reference(objects, detections):
    areas, points = {}, []
    for category, name in NAMES.items():
        mine = [item for item in objects if item[0]["category_id"] == category]
        found = [place for place in detections if place["category_id"] == category]
        areas[f"AP50/{name}"] = -1
        if any(not difficult for _, difficult in mine):
            areas[f"AP50/{name}"] = area_under_curve(evaluate(mine, found, 0.5))
            points.append([eleven_point_average(evaluate(mine, found, t / 100)) for t in range(50, 100, 5)])
    if not points:
        return dict.fromkeys((*VOC_SCORES, *areas), -1)
    means = [sum(column) / len(points) for column in zip(*points, strict=True)]
    defined = [value for value in areas.values() if value != -1]
    return {
        "AP50": sum(defined) / len(defined), "AP50_07": means[0], "AP_07": sum(means) / 10, "AP75_07": means[5],
        **areas,
    }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(objects, ranks)
def test_equals_the_development_kit(written, objects, detections):
    detections = [place for place, _ in objects[::2]] + detections
    scores = score_voc(*written(*files_of(objects, detections)))
    assert scores == pytest.approx(reference(objects, detections), abs=1e-9)
    check_scores(METRIC, scores)


def test_hand_computed(written):
    """Hit, duplicate (false), difficult (left out), hit of IoU 0.6: precision 1 to recall 1/2, then 2/3 to 1."""
    box = {"image_id": 1, "category_id": 2, "difficult": 0}
    places = [[0, 0, 10, 10], [50, 0, 10, 10], [90, 0, 10, 10]]
    objects = [{**box, "bbox": place, "difficult": int(n == 1)} for n, place in enumerate(places)]
    truth = {"images": [{"id": 1}], "categories": [{"id": 2, "name": "cat"}, {"id": 3}], "annotations": objects}
    found = [places[0], places[0], places[1], [90, 0, 6, 10]]
    detections = [{**box, "bbox": place, "score": 0.9 - n / 10} for n, place in enumerate(found)]
    scores = score_voc(*written(detections, truth))
    both, one = (6 + 5 * 2 / 3) / 11, 6 / 11
    assert scores == pytest.approx({
        "AP50": 1 / 2 + 1 / 3, "AP50_07": both, "AP_07": (2 * both + 8 * one) / 10, "AP75_07": one,
        "AP50/cat": 1 / 2 + 1 / 3, "AP50/3": -1,
    })  # fmt: skip
    assert score_voc(*written([], truth))["AP50"] == 0


def test_three_of_ten_objects_do_not_reach_the_fourth_level(written):
    """As in both references: 3 × 0.1 is a little more than 0.3."""
    places = [{"image_id": 4, "category_id": 7, "corners": (20 * n + 1, 1, 20 * n + 9, 9)} for n in range(10)]
    scores = score_voc(*written(*files_of([(place, 0) for place in places], places[:3])))
    assert scores["AP50_07"] == pytest.approx(3 / 11) and scores["AP50"] == pytest.approx(0.3)


def test_of_equal_scores_the_first_in_the_file_comes_first(written):
    place = {"image_id": 4, "category_id": 7, "corners": (1, 1, 9, 9)}
    found, truth = files_of([(place, 0)], [place, {**place, "corners": (100, 100, 109, 109)}])
    for entry in found:
        entry["score"] = 0.5
    assert score_voc(*written(found, truth))["AP50"] == 1
    assert score_voc(*written(found[::-1], truth))["AP50"] == 0.5


@pytest.mark.parametrize(("key", "error"), [("difficult", BrokenAnnotation), ("score", BrokenPredictions)])
def test_a_missing_key_is_named(written, key, error):
    place = {"image_id": 4, "category_id": 7, "corners": (1, 1, 9, 9)}
    found, truth = files_of([(place, 0)], [place])
    for entry in (*found, *truth["annotations"]):
        entry.pop(key, None)
    with pytest.raises(error, match=f"entry 0 lacks {key}"):
        score_voc(*written(found, truth))
