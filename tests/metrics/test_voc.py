from __future__ import annotations

import pytest

from transfer.metrics.voc import score_voc


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
