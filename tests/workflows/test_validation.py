"""The validation part of a training set: near-duplicates stay together, and test images are not looked at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from transfer.datasets.validation import validation_part
from transfer.workflows.validation import open_validation


@pytest.fixture
def data(furnish: Callable[[Path], Path], tmp_path: Path) -> Path:
    """The embedded data as somebody's own `coco`, whose test images are damaged."""
    data = furnish(tmp_path) / "data" / "mini"
    shutil.move(data, data.parent / "coco")
    for path in (data.parent / "coco" / "val2017").iterdir():
        path.write_bytes(b"not looked at")
    return data.parent / "coco"


def test_a_mirrored_copy_goes_where_its_source_goes(data: Path, tmp_path: Path) -> None:
    truth = json.loads((data / "annotations" / "instances_train2017.json").read_text(encoding="utf-8"))
    names = sorted(entry["file_name"] for entry in truth["images"])
    expected = validation_part(names)
    source = next(name for name in names if name in expected)
    copy = next(name for name in names if name > source and name not in expected)
    with Image.open(data / "train2017" / source) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(data / "train2017" / copy, quality=40)
    parts = open_validation("coco", "bbox", data.parent, tmp_path / "work")
    train, validation = (manifest.hashes.keys() for manifest in parts.manifests)
    assert validation == expected | {copy} and train == set(names) - validation
    again = open_validation("coco", "bbox", data.parent, tmp_path / "work")
    assert again == parts
