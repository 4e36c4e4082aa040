"""`transfer data`: what it prints, and its status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from transfer import cli
from transfer.datasets.declaration import dataset_names


def test_every_data_set_is_listed_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    assert cli.main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == dataset_names()
    assert {"missing" in line for line in lines if not line.startswith("mini")} == {True}
    for name in dataset_names():
        assert cli.main(["data", "describe", name]) == 0
        assert "Terms:" in capsys.readouterr().out


def test_a_name_that_does_not_exist_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "check", "camvit"]) == 1
    assert "Did you mean camvid" in capsys.readouterr().err


def test_a_real_set_is_summed_up_by_class(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(shared_data))
    check = ["data", "check", "bccd", "--work-dir", str(tmp_path)]
    assert cli.main(check) == 0
    text = capsys.readouterr().out
    assert "nothing is wrong" in text and "3,350       805" in text
    assert cli.main([*check, "--json", "--kind", "boxes"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["boxes"] and found["boxes"]["notes"] == []
    counts = (found["boxes"][split]["counts"] for split in ("train", "test"))
    assert [sum(pair) for pair in zip(*(c.values() for c in counts), strict=True)] == [4155, 372, 361]


def test_a_broken_copy_of_a_real_set_fails_with_all_that_is_wrong(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "coco_mini"
    shutil.copytree(shared_data / "coco_mini", base)
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    for split, size in (("train2017", 10), ("val2017", 0)):
        for path in sorted((base / split).glob("*.jpg"))[:2]:
            path.write_bytes(path.read_bytes()[:size])
        sorted((base / split).glob("*.jpg"))[5].unlink()
    (base / "annotations/person_keypoints_val2017.json").write_text("{")
    assert cli.main(["data", "check", "coco-mini", "--work-dir", str(tmp_path / "work")]) == 1
    message = capsys.readouterr().err
    assert (
        message.count("half-downloaded? 1 files are missing") == 3
    )  # boxes and masks share theirs, one json is unreadable
    assert message.count("is empty") == 2 and message.count("is not an image") == 2 * 2
    assert "person_keypoints_val2017.json is not valid JSON" in message
