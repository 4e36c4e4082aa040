from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer.errors import BrokenRecord
from transfer.files.places import head_names
from transfer.results.migration import migrated
from transfer.results.schema import parse_record
from transfer.results.store import read_record, read_records, upgrade_records
from transfer.schemas.record import Record


def of_schema_1(record: Record, recipe: str, dataset: str) -> dict[str, Any]:
    """The JSON that this program wrote before suites bound heads, data and sizes."""
    data = record.to_json()
    run = {key: value for key, value in data["run"].items() if key not in ("head", "dataset", "size", "arguments")}
    test = {**data["data"]["test"], "dataset": dataset}
    return {**data, "run": {**run, "recipe": recipe}, "schema": 1, "data": {**data["data"], "test": test}}


@pytest.mark.parametrize(
    ("recipe", "dataset", "head", "size", "arguments"),
    [
        ("faster_rcnn_fpn_mini", "mini", "faster_rcnn_fpn", "mini", {}),
        ("faster_rcnn_fpn_coco_mini", "coco-mini", "faster_rcnn_fpn", "small", {}),
        ("faster_rcnn_c4_bccd", "bccd", "faster_rcnn_c4", "small", {"image_scale": [320, 240]}),
        ("faster_rcnn_c4_coco", "coco", "faster_rcnn_c4", "jft", {}),
        ("faster_rcnn_c4_voc", "voc0712", "faster_rcnn_c4", "full", {}),
        ("linear_ade20k", "ade20k", "linear_segmentation", "full", {}),
        ("deeplab_aspp_l_camvid", "camvid", "deeplab_aspp_l", "small", {}),
        ("my_own", "mine", "my_own", "full", {}),
    ],
)
def test_a_recipe_becomes_head_data_and_size(
    record: Callable[..., Record], recipe: str, dataset: str, head: str, size: str, arguments: dict[str, Any]
) -> None:
    run = parse_record(of_schema_1(record(), recipe, dataset), "old").run
    assert (run.head, run.dataset, run.size, run.arguments) == (head, dataset, size, arguments)
    assert head in head_names() or recipe == "my_own"


def test_old_records_are_read_and_written_anew_under_their_new_name(
    record: Callable[..., Record], tmp_path: Path
) -> None:
    made = record()
    old = tmp_path / f"{made.run.id}--01234567.json"
    old.write_text(json.dumps(of_schema_1(made, "faster_rcnn_fpn_mini", "mini")), encoding="utf-8")
    assert read_record(old).run == made.run
    upgrade_records(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{made.run.record_name}.json"]
    (found,) = read_records(tmp_path)
    assert found.run == made.run and found.scores == made.scores and found.schema == 2


def test_an_old_record_under_a_foreign_name_is_refused(record: Callable[..., Record], tmp_path: Path) -> None:
    path = tmp_path / "other--01234567.json"
    path.write_text(json.dumps(of_schema_1(record(), "faster_rcnn_fpn_mini", "mini")), encoding="utf-8")
    with pytest.raises(BrokenRecord, match="expected the file name"):
        read_record(path)


@pytest.mark.parametrize("data", [None, [], {"schema": 2}, {"schema": 1}, {"schema": 1, "run": {"recipe": 5}}])
def test_what_is_no_record_of_schema_1_is_left_to_the_checks(data: Any) -> None:
    with pytest.raises(BrokenRecord):
        parse_record(migrated(data), "broken")
