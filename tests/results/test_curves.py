from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.results.curves import Point, curves_of, deviation, fit_log_linear
from transfer.schemas.record import Record
from transfer.schemas.suite import Suite, Task

TASK = Task("detection", "Detection", "faster_rcnn_fpn", "mini", "mini", "bbox", ("AP", "AP50"))
SUITE = Suite("mini", "Mini", "", (0, 1), (TASK,))
sizes = st.lists(st.integers(1, 10**7), min_size=3, max_size=6, unique=True)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_the_deviation_is_that_of_a_sample(values: list[float]) -> None:
    assert deviation(values) == pytest.approx(np.std(values, ddof=1), abs=1e-7)
    assert deviation(values[:1]) is None


@given(sizes, st.data())
def test_the_fit_is_least_squares(images: list[int], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(0, 1), min_size=len(images), max_size=len(images)))
    xs = np.log10(images)
    if np.ptp(xs) < 0.01:
        return
    fit = fit_log_linear([Point(count, (value,)) for count, value in zip(images, values, strict=True)])
    slope, intercept = np.polyfit(xs, values, 1)
    assert (fit.per_tenfold, fit.at_one) == (pytest.approx(slope, abs=1e-5), pytest.approx(intercept, abs=1e-4))
    residues = np.asarray(values) - intercept - slope * xs
    error = math.sqrt((residues**2).sum() / (len(xs) - 2) / ((xs - xs.mean()) ** 2).sum())
    assert fit.error == pytest.approx(error, abs=1e-4)


def test_points_on_a_line_are_explained_by_it() -> None:
    fit = fit_log_linear([Point(count, (0.1 * math.log10(count),)) for count in (10, 100, 1000)])
    assert (fit.per_tenfold, fit.explained) == (pytest.approx(0.1), pytest.approx(1))
    assert fit_log_linear([Point(10, (0.5,)), Point(100, (0.5,))]).error is None


def on(make: Callable[..., Record], images: int, seed: int, score: float, **changes: object) -> Record:
    overrides = {} if images == 1000 else {"subset": f"{images / 10:g}%"}
    record = make({"AP": score, "AP50": score}, seed=seed, **{"overrides": overrides, **changes})
    return replace(record, data={"train": {"images": images, "sha256": str(images)}, "test": {"sha256": "22"}})


def test_a_curve_is_one_checkpoint_at_the_seeds_of_every_point(record: Callable[..., Record]) -> None:
    records = [on(record, images, seed, images / 2000 + seed / 100) for images in (10, 100, 1000) for seed in (0, 1)]
    records = [each for each in records if (each.data["train"]["images"], each.run.seed) != (100, 1)]
    other = [on(record, images, 0, 0.1, checkpoint="random-resnet50", weights="random") for images in (10, 1000)]
    (curve, control) = curves_of(SUITE, [*records, *other])
    assert (curve.seeds, [point.images for point in curve.points]) == ((0,), [10, 100, 1000])
    assert [point.value for point in curve.points] == [0.005, 0.05, 0.5]
    assert (control.control, control.fit.per_tenfold) == (True, 0)


def test_other_protocols_and_single_sizes_make_no_curve(record: Callable[..., Record]) -> None:
    whole = on(record, 1000, 0, 0.5)
    shorter = on(record, 100, 0, 0.3, overrides={"subset": "10%", "iterations": 9})
    undefined = on(record, 10, 0, -1)
    elsewhere = on(record, 100, 0, 0.3, suite="coco")
    assert curves_of(SUITE, [whole, shorter, undefined, elsewhere]) == []


def test_the_newest_record_of_a_seed_counts(record: Callable[..., Record]) -> None:
    old, new = on(record, 100, 0, 0.1), replace(on(record, 100, 0, 0.3), created="2027-01-01T00:00:00Z")
    (curve,) = curves_of(SUITE, [new, old, on(record, 1000, 0, 0.5)])
    assert [point.value for point in curve.points] == [0.3, 0.5]
