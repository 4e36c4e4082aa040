"""Values at the borders of what a record and a curve may hold: both sides of each border."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer.errors import BrokenRecord
from transfer.results.curves import Curve, Point, curves_of, fit_log_linear
from transfer.results.migration import migrated
from transfer.results.schema import parse_record
from transfer.results.store import read_record, write_record
from transfer.schemas.record import SCHEMA, Record
from transfer.schemas.suite import Suite, Task

Make = Callable[..., Record]
TASK = Task("detection", "Detection", "faster_rcnn_fpn", "mini", "mini", "bbox", ("AP", "AP50"))
SUITE = Suite("mini", "Mini", "", (0, 1), (TASK,))


def parsed(record: Record, **changes: Any) -> Record:
    return parse_record({**record.to_json(), **changes}, "a.json")


@pytest.mark.parametrize("score", [-1, 0, 0.0, 1, 1.0])
def test_undefined_none_and_all_are_scores(record: Make, score: float) -> None:
    assert parsed(record(), scores={"AP": score}).scores == {"AP": score}


@pytest.mark.parametrize("score", [1.01, 2, -0.01, -2])
def test_shares_end_at_none_and_all(record: Make, score: float) -> None:
    with pytest.raises(BrokenRecord, match=r"^a\.json: scores\.AP: expected a share within 0 and 1, or -1, got"):
        parsed(record(), scores={"AP": score})


@pytest.mark.parametrize("coverage", [0, 0.5, 1])
def test_a_certificate_covers_any_share(record: Make, coverage: float) -> None:
    assert parsed(record(), certificate={"coverage": coverage}).certificate == {"coverage": coverage}


@pytest.mark.parametrize("coverage", [-0.01, 1.01, True, None])
def test_a_certificate_covers_nothing_else(record: Make, coverage: Any) -> None:
    with pytest.raises(BrokenRecord, match=r"certificate\.coverage: expected a share within 0 and 1, got"):
        parsed(record(), certificate={"coverage": coverage})


def test_the_control_has_no_certificate(record: Make) -> None:
    assert parsed(record(), certificate=None).certificate is None


@pytest.mark.parametrize("seconds", [0, 0.25])
def test_a_stage_may_take_no_time(record: Make, seconds: float) -> None:
    assert parsed(record(), cost={"fit_seconds": seconds}).cost == {"fit_seconds": seconds}


@pytest.mark.parametrize(
    ("version", "advice"), [(SCHEMA - 2, r"Run the task again\."), (SCHEMA + 1, r"Update this program\.")]
)
def test_another_version_says_which_side_is_old(record: Make, version: int, advice: str) -> None:
    with pytest.raises(BrokenRecord, match=rf"^a\.json: schema: expected version {SCHEMA}, got {version}\. {advice}$"):
        parsed(record(), schema=version)


def test_a_missing_key_without_a_similar_one_is_only_named(record: Make) -> None:
    data = record().to_json()
    del data["cost"]
    with pytest.raises(BrokenRecord, match=r"^a\.json: cost is missing\.$"):
        parse_record({**data, "zebra": 1}, "a.json")


def test_either_type_of_a_certificate_is_named(record: Make) -> None:
    with pytest.raises(BrokenRecord, match=r"certificate: expected dict or NoneType, got list"):
        parsed(record(), certificate=[])


def test_a_renamed_file_says_its_right_name(tmp_path: Path, record: Make) -> None:
    path = write_record(tmp_path, record())
    other = path.rename(tmp_path / "other.json")
    with pytest.raises(BrokenRecord, match=rf"other\.json: expected the file name {path.stem}\.json"):
        read_record(other)


def test_a_record_that_is_not_written_is_named_by_its_run(tmp_path: Path, record: Make) -> None:
    made = record(scores={"AP": 2})
    with pytest.raises(BrokenRecord, match=rf"^record of {made.run.id}: scores\.AP: "):
        write_record(tmp_path, made)


def test_numbers_that_json_has_not_got_are_damage(tmp_path: Path, record: Make) -> None:
    path = write_record(tmp_path, record())
    path.write_text(json.dumps(record().to_json()).replace("0.25", "Infinity"), encoding="utf-8")
    with pytest.raises(BrokenRecord, match="Infinity is no JSON number"):
        read_record(path)


def test_the_explained_share_is_the_squared_correlation() -> None:
    images, values = (10, 100, 1000, 10000), (0.1, 0.4, 0.3, 0.7)
    fit = fit_log_linear([Point(count, (value,)) for count, value in zip(images, values, strict=True)])
    assert fit.explained == pytest.approx(np.corrcoef(np.log10(images), values)[0, 1] ** 2)
    assert 0.7 < fit.explained < 0.9


def test_scores_that_do_not_vary_are_explained() -> None:
    assert fit_log_linear([Point(count, (0.5,)) for count in (10, 100, 1000)]).explained == 1


def test_the_spread_of_a_point_is_that_of_its_seeds() -> None:
    assert Point(10, (0.2, 0.4)).spread == pytest.approx(np.std([0.2, 0.4], ddof=1))
    assert Point(10, (0.2,)).spread is None


def on(make: Make, images: int, score: float, test: Any = "22", **changes: Any) -> Record:
    made = make({"AP": score, "AP50": 0.9}, overrides={"subset": f"{images}"}, **changes)
    return replace(made, data={"train": {"images": images, "sha256": str(images)}, "test": {"sha256": test}})


def curves(*records: Record) -> list[Curve]:
    return curves_of(SUITE, records)


def test_a_curve_says_whose_it_is_and_follows_the_first_score(record: Make) -> None:
    (curve,) = curves(on(record, 10, 0.1), on(record, 100, 0.3))
    assert (curve.checkpoint, curve.arch, curve.task, curve.control) == ("dino_r50", "resnet50", "detection", False)
    assert [(point.images, point.values) for point in curve.points] == [(10, (0.1,)), (100, (0.3,))]
    assert (curve.fit.per_tenfold, curve.fit.at_one) == (pytest.approx(0.2), pytest.approx(-0.1))


def test_a_network_without_a_name_is_unknown(record: Make) -> None:
    (curve,) = curves(*(on(record, images, 0.1, backbone={"kind": "vit"}) for images in (10, 100)))
    assert curve.arch == "unknown"


def test_the_order_in_which_settings_are_written_parts_no_curve(record: Make) -> None:
    settings = {"kind": "resnet", "arch": "resnet50"}
    turned = dict(reversed(settings.items()))
    assert len(curves(on(record, 10, 0.1, backbone=settings), on(record, 100, 0.2, backbone=turned))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"test": "33"},
        {"weights": "cd" * 32},
        {"checkpoint": "moco"},
        {"head": "retinanet"},
        {"dataset": "coco-mini"},
        {"size": "small"},
        {"arguments": {"width": 32}},
        {"input": {"mean": [0, 0, 0]}},
        {"backbone": {"kind": "resnet", "arch": "resnet18"}},
    ],
)
def test_whatever_else_differs_parts_curves(record: Make, change: dict[str, Any]) -> None:
    assert curves(on(record, 10, 0.1), on(record, 100, 0.2, **change)) == []


def test_a_record_without_the_score_is_no_point(record: Make) -> None:
    without = replace(on(record, 10, 0.1), scores={"AR": 0.5})
    assert curves(without, on(record, 100, 0.2)) == []


def test_seeds_without_a_common_one_make_no_curve(record: Make) -> None:
    assert curves(on(record, 10, 0.1, seed=0), on(record, 100, 0.2, seed=1)) == []


@pytest.mark.parametrize("status", ["unknown", "none by construction", "measured"])
def test_what_is_known_of_an_overlap(record: Make, status: str) -> None:
    assert parsed(record(), overlap={"status": status}).overlap == {"status": status}


@pytest.mark.parametrize(("recipe", "head", "dataset"), [("fcn_d8_voc", "fcn_d8", "voc"), ("my_own", "my_own", "")])
def test_an_old_record_that_names_no_data_set_has_that_of_its_recipe(recipe: str, head: str, dataset: str) -> None:
    for data in ({}, {"data": {}}, {"data": {"test": {}}}):
        run = migrated({"schema": 1, "run": {"recipe": recipe}, **data})["run"]
        assert (run["head"], run["dataset"]) == (head, dataset)
