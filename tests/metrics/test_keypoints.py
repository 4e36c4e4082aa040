from __future__ import annotations

import contextlib
import io
import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.errors import BrokenAnnotation, BrokenPredictions
from transfer.metrics.invariants import check_scores
from transfer.metrics.keypoints import KEYPOINT_SCORES, METRIC, score_keypoints

JOINTS = 17
# cocodataset.org, keypoint evaluation: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles
SIGMAS = [0.026, *[0.025] * 2, *[0.035] * 2, *[0.079] * 2, *[0.072] * 2, *[0.062] * 2, *[0.107] * 2, *[0.087] * 2,
          *[0.089] * 2]  # fmt: skip

people = st.fixed_dictionaries(
    {
        "image_id": st.sampled_from([4, 9]),
        "at": st.tuples(st.integers(0, 60), st.integers(0, 60)),
        "side": st.sampled_from([40, 80, 200]),
        "visible": st.sampled_from([0, 1, 8, JOINTS]),
        "iscrowd": st.sampled_from([0, 0, 0, 1]),
        "shake": st.integers(0, 12),
        "score": st.sampled_from([0.2, 0.5, 0.5, 0.9]),
    }
)


def joints(person, shake):
    (x, y), side, draw = person["at"], person["side"], random.Random(shake)
    for joint in range(JOINTS):
        yield x + side * (joint % 4) / 4 + draw.uniform(-shake, shake)
        yield y + side * (joint // 4) / 4 + draw.uniform(-shake, shake)
        yield 2 if joint < person["visible"] else 0


def truth_of(targets):
    annotations = [
        {
            "id": number,
            "image_id": person["image_id"],
            "category_id": 1,
            "keypoints": list(joints(person, 0)),
            "num_keypoints": person["visible"],
            "bbox": [*person["at"], person["side"], person["side"]],
            "area": person["side"] ** 2 * 0.6,
            "iscrowd": person["iscrowd"],
        }
        for number, person in enumerate(targets, start=1)
    ]
    return {"images": [{"id": 4}, {"id": 9}], "categories": [{"id": 1, "name": "person"}], "annotations": annotations}


def predictions_of(found):
    return [
        {"image_id": p["image_id"], "category_id": 1, "keypoints": list(joints(p, p["shake"])), "score": p["score"]}
        for p in found
    ]


def object_keypoint_similarity(detection, target):
    terms = []
    x0, y0, w, h = target["bbox"]
    for joint, sigma in enumerate(SIGMAS):
        x, y, _ = detection["keypoints"][3 * joint : 3 * joint + 3]
        u, v, flag = target["keypoints"][3 * joint : 3 * joint + 3]
        if target["num_keypoints"] == 0:  # distance to the box, doubled in size, of a person without joints
            dx, dy = max(0, x0 - w - x, x - x0 - 2 * w), max(0, y0 - h - y, y - y0 - 2 * h)
        elif flag:
            dx, dy = x - u, y - v
        else:
            continue
        terms.append(math.exp(-(dx**2 + dy**2) / (2 * target["area"] * (2 * sigma) ** 2)))
    return sum(terms) / len(terms)


def reference(measure, truth, found):
    def size(person):
        xs, ys = person["keypoints"][::3], person["keypoints"][1::3]
        return (max(xs) - min(xs)) * (max(ys) - min(ys))

    found = [{**person, "area": size(person)} for person in found]

    def measured(area=""):
        def ignored(entry):
            return entry["iscrowd"] or not entry["num_keypoints"]

        return measure(truth, found, object_keypoint_similarity, ignored, area=area, limit=20)

    def mean(values):
        return float(np.mean(values)) if np.size(values) else -1

    both = dict(zip(("AP", "AR"), measured(), strict=True))
    result = {name: mean(values) for name, values in both.items()}
    result |= {f"{name}50": mean(values[:1]) for name, values in both.items()}
    result |= {f"{name}75": mean(values[5:6]) for name, values in both.items()}
    for area in "ml":
        precision, recall = measured(area)
        result |= {f"AP{area}": mean(precision), f"AR{area}": mean(recall)}
    return {name: result[name] for name in KEYPOINT_SCORES}


@settings(max_examples=80, deadline=None)
@given(st.lists(people, max_size=5), st.lists(people, max_size=8))
def test_equals_the_definition(precision_and_recall, written, targets, others):
    truth, found = truth_of(targets), predictions_of(targets[::2] + others)
    scores = score_keypoints(*written(found, truth))
    assert scores == pytest.approx(reference(precision_and_recall, truth, found), abs=1e-9)
    if all(person["visible"] and not person["iscrowd"] for person in targets):
        check_scores(METRIC, scores)


PERSON = {"image_id": 4, "at": (0, 0), "side": 80, "visible": 17, "iscrowd": 0, "shake": 0, "score": 0.5}


def test_nobody_found_scores_zero(written):
    assert score_keypoints(*written([], truth_of([PERSON])))["AP"] == 0


def test_wrong_number_of_joints(written):
    found = predictions_of([PERSON])
    found[0]["keypoints"] = found[0]["keypoints"][:42]
    with pytest.raises(BrokenPredictions, match=r"predictions.json: entry 0 has 42 values as keypoints; expected 51"):
        score_keypoints(*written(found, truth_of([PERSON])))


def test_truth_of_another_skeleton(written):
    truth = truth_of([PERSON])
    truth["annotations"][0]["keypoints"] = [0] * 42
    with pytest.raises(BrokenAnnotation, match=r"truth.json: entry 0 has 42 values as keypoints; expected 51"):
        score_keypoints(*written([], truth))


@pytest.mark.real_data
def test_equals_pycocotools_on_real_people(fixtures, written):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    path = fixtures / "mmpose_coco_kp" / "test_coco.json"
    draw = random.Random(0)
    found = [
        {
            "image_id": person["image_id"],
            "category_id": 1,
            "keypoints": [value + draw.gauss(0, 5) for value in person["keypoints"]],
            "score": draw.random(),
        }
        for person in json.loads(path.read_text())["annotations"]
    ]
    scores = score_keypoints(written(found, {})[0], path)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        oracle = COCOeval(truth, truth.loadRes(found), "keypoints")
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    assert list(scores.values()) == list(oracle.stats)
    assert 0.1 < scores["AP"] < 0.9
