"""A data set's own test images in its training part are found, noted, recorded, and change no protocol."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from transfer import cli
from transfer.dedup import shards
from transfer.schemas.suite import load_suite, suite_path
from transfer.stages.convert import convert
from transfer.stages.job import Job
from transfer.workflows import leakage
from transfer.workflows.plan import LOOKS_LIKE_TRAIN, Deviations, plan


@pytest.fixture
def leaking(furnish: Callable[[Path], Path], tmp_path: Path) -> Path:
    """The embedded data as somebody's own, two of whose test images are training images, mirrored and recompressed."""
    data = furnish(tmp_path) / "data" / "mini"
    truth = json.loads((data / "annotations" / "instances_val2017.json").read_text(encoding="utf-8"))
    trained = sorted((data / "train2017").iterdir())
    for entry, source in zip(truth["images"][:2], trained, strict=False):
        with Image.open(source) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(data / "val2017" / entry["file_name"], quality=40)
    return data


def planned(data: Path, work_dir: Path) -> Job:
    suite = load_suite(suite_path("coco"))
    suite = replace(suite, tasks=suite.tasks[:1])
    (data.parent / "coco").symlink_to(data)
    (job,) = plan(convert("random:resnet18", work_dir), suite, Deviations(), work_dir, data.parent)
    return job


def test_leaks_are_counted_and_change_no_protocol(
    leaking: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(leaking, tmp_path / "work")
    assert found.data["test"][LOOKS_LIKE_TRAIN] == 2
    assert "2 images of test show the same as one of train" in capsys.readouterr().err
    (leaking.parent / "coco").unlink()
    monkeypatch.setattr(leakage.Leakage, "leaked", property(lambda self: []))
    unaware = planned(leaking, tmp_path / "other")
    assert LOOKS_LIKE_TRAIN not in unaware.data["test"]
    assert (unaware.run.protocol, unaware.run.fingerprint) == (found.run.protocol, found.run.fingerprint)


def test_a_second_look_hashes_nothing(leaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(leaking, tmp_path / "work")
    (leaking.parent / "coco").unlink()
    monkeypatch.setattr(shards, "decode_grey", lambda data: pytest.fail("this image was hashed"))
    assert planned(leaking, tmp_path / "work").data["test"][LOOKS_LIKE_TRAIN] == 2


def test_the_check_of_a_data_set_notes_them(
    leaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(leaking, leaking.parent / "coco")
    monkeypatch.setenv("TRANSFER_DATA", str(leaking.parent))
    assert cli.main(["data", "check", "coco", "--kind", "bbox", "--work-dir", str(tmp_path / "work")]) == 0
    assert "note: 2 images of test show the same as one of train" in capsys.readouterr().out


def test_the_embedded_data_does_not_leak(furnished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "leak.json"
    assert cli.main(["dedup", "self", "mini", "-o", str(output), "--work-dir", str(furnished)]) == 0
    assert json.loads(output.read_text(encoding="utf-8"))["pairs"] == []
    assert "64 test images against 160 of training images of mini: 0 duplicate" in capsys.readouterr().out
