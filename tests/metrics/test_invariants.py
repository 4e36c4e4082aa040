from __future__ import annotations

import pytest

from transfer.errors import BrokenRecord, UnknownName
from transfer.metrics.boxes import BOX_SCORES
from transfer.metrics.invariants import CLASSES, SMALLER_FIRST, check_scores
from transfer.metrics.keypoints import KEYPOINT_SCORES
from transfer.metrics.voc import VOC_SCORES
from transfer.schemas.suite import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_rules(kind):
    check_scores(kind, {name: 0.5 for pair in SMALLER_FIRST[kind] for name in pair})


NAMES = {
    "bbox": BOX_SCORES,
    "segm": (*BOX_SCORES, *(f"bbox/{name}" for name in BOX_SCORES)),
    "keypoints": KEYPOINT_SCORES,
    "voc": VOC_SCORES,
    "miou": ("mIoU", "aAcc", "mAcc"),
}


@pytest.mark.parametrize(("kind", "names"), NAMES.items())
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


@pytest.mark.parametrize("value", [0.1, 0.9])
@pytest.mark.parametrize(("kind", "mean", "prefix"), [(kind, *rule) for kind in CLASSES for rule in CLASSES[kind]])
def test_mean_outside_its_classes(kind, mean, prefix, value):
    classes = {f"{prefix}sky": 0.3, f"{prefix}car": 0.5, f"{prefix}tree": -1}
    check_scores(kind, {mean: 0.4, **classes})
    with pytest.raises(BrokenRecord, match=f"{mean} {value} lies outside its classes' 0.3 to 0.5"):
        check_scores(kind, {mean: value, **classes})


def test_unknown_kind():
    with pytest.raises(UnknownName, match="Did you mean bbox"):
        check_scores("box", {})
