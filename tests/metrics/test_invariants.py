from __future__ import annotations

import pytest

from transfer.errors import BrokenRecord, UnknownName
from transfer.metrics.boxes import BOX_SCORES
from transfer.metrics.invariants import SMALLER_FIRST, check_scores
from transfer.metrics.keypoints import KEYPOINT_SCORES
from transfer.spec.suite import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_rules(kind):
    check_scores(kind, {name: 0.5 for pair in SMALLER_FIRST[kind] for name in pair})


@pytest.mark.parametrize(("kind", "names"), [("bbox", BOX_SCORES), ("keypoints", KEYPOINT_SCORES)])
def test_rules_name_scores_that_exist(kind, names):
    assert {name for pair in SMALLER_FIRST[kind] for name in pair} <= set(names)


@pytest.mark.parametrize(("kind", "pair"), [(kind, pair) for kind in KINDS for pair in SMALLER_FIRST[kind]])
def test_swapped_scores(kind, pair):
    small, large = pair
    check_scores(kind, {small: 0.3, large: 0.4})
    check_scores(kind, {small: 0.3, large: -1})
    with pytest.raises(BrokenRecord, match=rf"{small} 0.4 cannot exceed {large} 0.3"):
        check_scores(kind, {small: 0.4, large: 0.3})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, 34.5, -2])
def test_values_that_are_no_shares(value):
    with pytest.raises(BrokenRecord, match="expected AP within 0 and 1"):
        check_scores("bbox", {"AP": value})


@pytest.mark.parametrize("mean", [0.1, 0.9])
def test_mean_outside_its_classes(mean):
    with pytest.raises(BrokenRecord, match="outside its classes"):
        check_scores("miou", {"mIoU": mean, "IoU/sky": 0.3, "IoU/car": 0.5, "IoU/tree": -1})


def test_unknown_kind():
    with pytest.raises(UnknownName, match="Did you mean bbox"):
        check_scores("box", {})
