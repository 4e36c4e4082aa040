from __future__ import annotations

import pytest

from transfer.errors import BrokenRecord
from transfer.metrics.boxes import METRIC as BOXES
from transfer.metrics.invariants import check_scores
from transfer.metrics.registry import METRICS

IMPOSSIBLE = {
    "bbox": ["AP > AP50", "AP75 > AP50", "AR1 > AR10", "AR10 > AR100"],
    "segm": [
        *("AP > AP50", "AP75 > AP50", "AR1 > AR10", "AR10 > AR100"),
        *("bbox/AP > bbox/AP50", "bbox/AP75 > bbox/AP50", "bbox/AR1 > bbox/AR10", "bbox/AR10 > bbox/AR100"),
    ],
    "keypoints": ["AP > AP50", "AP75 > AP50", "AR > AR50", "AR75 > AR50"],
    "voc": ["AP_07 > AP50_07", "AP75_07 > AP50_07", "AP50 > AP50/"],
    "miou": ["mIoU > mAcc", "mIoU > IoU/", "mAcc > Acc/"],
}
"""What follows from the definitions, written down a second time: a rule that is lost there is missed here."""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_rules_name_scores_that_exist(metric):
    assert {name for pair in metric.ordered for name in pair} <= set(metric.scores)
    assert {mean for mean, _ in metric.means} <= set(metric.scores)


@pytest.mark.parametrize(("name", "rule"), [(name, rule) for name, rules in IMPOSSIBLE.items() for rule in rules])
@pytest.mark.parametrize("margin", [0.01, 0.5])
def test_what_cannot_be_is_refused(name, rule, margin):
    metric = next(metric for metric in METRICS if metric.name == name)
    small, large = rule.split(" > ")
    values = [f"{large}sky", f"{large}car"] if large.endswith("/") else [large]
    check_scores(metric, {small: 0.4, **dict.fromkeys(values, 0.4)})
    check_scores(metric, {small: 0.4, **dict.fromkeys(values, -1)})
    with pytest.raises(BrokenRecord, match=rf"{name}: {small} "):
        check_scores(metric, {small: 0.4 + margin, **dict.fromkeys(values, 0.4)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, 34.5, -2])
def test_values_that_are_no_shares(value):
    with pytest.raises(BrokenRecord, match="expected AP within 0 and 1"):
        check_scores(BOXES, {"AP": value})


@pytest.mark.parametrize("value", [0.1, 0.9])
@pytest.mark.parametrize(("metric", "mean", "prefix"), [(metric, *rule) for metric in METRICS for rule in metric.means])
def test_mean_outside_its_classes(metric, mean, prefix, value):
    classes = {f"{prefix}sky": 0.3, f"{prefix}car": 0.5, f"{prefix}tree": -1}
    check_scores(metric, {mean: 0.4, **classes})
    with pytest.raises(BrokenRecord, match=f"{mean} {value} lies outside its classes' 0.3 to 0.5"):
        check_scores(metric, {mean: value, **classes})
