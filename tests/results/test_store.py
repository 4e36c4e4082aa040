from __future__ import annotations

import dataclasses
import json
import re

import pytest

from transfer.errors import BadOption, BrokenRecord
from transfer.results import schema
from transfer.results.store import read_record, read_records, write_record
from transfer.schemas.record import Record
from transfer.schemas.run import RunSpec


def test_written_records_are_read_back_in_order(tmp_path, record):
    records = [record(seed=seed, checkpoint=name) for seed in (2, 0) for name in ("moco", "dino")]
    paths = [write_record(tmp_path, item) for item in records]
    assert [path.name for path in paths] == [f"{item.run.record_name}.json" for item in records]
    assert [item.to_json() for item in read_records(tmp_path)] == [
        item.to_json() for item in sorted(records, key=lambda item: item.run.record_name)
    ]


def test_no_folder_no_records(tmp_path):
    assert read_records(tmp_path / "records") == []


def test_identical_record_is_not_written_again(tmp_path, record):
    before = write_record(tmp_path, record()).stat()
    assert write_record(tmp_path, record()).stat().st_ino == before.st_ino


def test_rescored_record_replaces(tmp_path, record):
    write_record(tmp_path, record(scores={"AP": 0.1}))
    path = write_record(tmp_path, record(scores={"AP": 0.2}))
    assert read_record(path).scores == {"AP": 0.2}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_work_of_the_same_name_stands_beside(tmp_path, record):
    paths = [write_record(tmp_path, item) for item in (record(), record(work="b2"))]
    assert len({*paths}) == len(read_records(tmp_path)) == 2


def test_a_foreign_record_under_the_name_is_not_overwritten(tmp_path, record):
    path = write_record(tmp_path, record())
    foreign = json.dumps(record(work="b2").to_json())
    path.write_text(foreign, encoding="utf-8")
    with pytest.raises(BrokenRecord, match="expected the file name"):
        write_record(tmp_path, record())
    assert path.read_text(encoding="utf-8") == foreign


def test_another_metric_replaces(tmp_path, record):
    write_record(tmp_path, record())
    path = write_record(tmp_path, record(protocol="fedcba9876543210"))
    assert [found.run.protocol for found in read_records(tmp_path)] == ["fedcba9876543210"]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden"])
def test_names_that_are_no_file_names(tmp_path, record, name):
    with pytest.raises(BadOption, match="cannot name a record file"):
        write_record(tmp_path, record(checkpoint=name))


@pytest.mark.parametrize("scores", [{"AP": float("nan")}, {"AP": 34.5}, {"AP": -0.5}, {"AP": "high"}, {"AP": True}])
def test_impossible_scores_are_not_written(tmp_path, record, scores):
    with pytest.raises(BrokenRecord, match=r"scores\.AP"):
        write_record(tmp_path, record(scores=scores))
    assert list(tmp_path.iterdir()) == []


def changed(record, *keys, **values):
    data = record.to_json()
    inner = data
    for key in keys:
        inner = inner[key]
    for key, value in values.items():
        inner.pop(key) if value is KeyError else inner.update({key: value})
    return json.dumps(data).encode()


REQUIRED, OF_RUN = (
    [field.name for field in dataclasses.fields(kind) if field.name not in schema.LATER] for kind in (Record, RunSpec)
)


@pytest.mark.parametrize("field", REQUIRED)
def test_every_field_is_required(tmp_path, record, field):
    path = write_record(tmp_path, record())
    path.write_bytes(changed(record(), **{field: KeyError}))
    with pytest.raises(BrokenRecord, match=rf"{re.escape(str(path))}: {field} is missing"):
        read_records(tmp_path)


@pytest.mark.parametrize("field", OF_RUN)
def test_every_field_of_the_run_is_required_and_typed(tmp_path, record, field):
    path = write_record(tmp_path, record())
    path.write_bytes(changed(record(), "run", **{field: KeyError}))
    with pytest.raises(BrokenRecord, match=f"run: {field} is missing"):
        read_records(tmp_path)
    path.write_bytes(changed(record(), "run", **{field: 1.5}))
    with pytest.raises(BrokenRecord, match=rf"run: {field}: expected \w+, got float"):
        read_records(tmp_path)


def test_a_record_of_the_first_versions_excluded_nothing_and_compared_nothing(tmp_path, record):
    made = record()
    data = made.to_json()
    del data["overlap"], data["run"]["excluded"]
    write_record(tmp_path, made).write_text(json.dumps(data))
    assert read_records(tmp_path) == [made]
    assert (made.overlap, made.run.excluded) == ({"status": "unknown"}, "")


def test_an_overlap_needs_a_known_status(tmp_path, record):
    with pytest.raises(BrokenRecord, match=r"overlap\.status: expected one of unknown, .* got 'perhaps'"):
        write_record(tmp_path, dataclasses.replace(record(), overlap={"status": "perhaps"}))


def test_scores_without_some_images_stand_beside_the_full_ones(tmp_path, record):
    full, clean = record(), record(excluded="0123456789abcdef")
    assert full.run.fingerprint == clean.run.fingerprint
    write_record(tmp_path, full)
    assert write_record(tmp_path, clean).name.endswith("--without-01234567.json")
    assert len(read_records(tmp_path)) == 2


def test_the_schema_knows_every_field():
    assert list(schema.RECORD) == [field.name for field in dataclasses.fields(Record)]
    assert list(schema.RUN) == [field.name for field in dataclasses.fields(RunSpec)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda record: b"", "damaged"),
        (lambda record: changed(record)[:200], "damaged"),
        (lambda record: b"\xff\xfe", "damaged"),
        (lambda record: changed(record, "scores", AP=float("nan")), "NaN is no JSON number"),
        (lambda record: b"[]", "expected an object with run, scores"),
        (lambda record: changed(record, schema=3), "schema: expected version 2, got 3. Update"),
        (lambda record: changed(record, schema="1"), "schema: expected int, got str"),
        (lambda record: changed(record, "run", seed=True), "run: seed: expected int, got bool"),
        (lambda record: changed(record, scores=KeyError, score={}), "scores is missing. Is it 'score'"),
        (lambda record: changed(record, extra=1), "extra is no key of a record"),
        (lambda record: changed(record, "cost", fit_seconds=-1), "cost.fit_seconds"),
        (lambda record: changed(record, "data", test=4), "data.test: expected a manifest"),
        (lambda record: changed(record, "certificate", coverage=99), "certificate.coverage: expected a share"),
        (lambda record: changed(record, "certificate", coverage=KeyError), "certificate.coverage: expected a share"),
        (lambda record: changed(record, "run", seed=9), "expected the file name .*seed9--.*json"),
    ],
)
def test_damaged_files_are_named(tmp_path, record, content, message):
    path = write_record(tmp_path, record())
    path.write_bytes(content(record()))
    with pytest.raises(BrokenRecord, match=f"{re.escape(str(path))}: .*{message}|{re.escape(str(path))}: {message}"):
        read_records(tmp_path)


def test_half_written_files_are_not_read(tmp_path, record):
    path = write_record(tmp_path, record())
    (tmp_path / f".{path.name}.1.tmp").write_text("{")
    (tmp_path / f".{path.name}").write_text("{")
    assert len(read_records(tmp_path)) == 1
