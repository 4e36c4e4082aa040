from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from transfer import cli
from transfer.datasets.submission import write_submission
from transfer.errors import BadOption, BrokenPredictions, MissingData

COMMON = {"image_id": 7, "category_id": 1, "score": 0.5}
ENTRIES: Mapping[str, dict[str, Any]] = {
    "bbox": {**COMMON, "bbox": [1, 2, 3.5, 4]},
    "segm": {**COMMON, "segmentation": {"size": [4, 6], "counts": "04d0"}},
    "keypoints": {**COMMON, "keypoints": [1.0] * 51},
}


def _predictions(folder: Path, entries: Any) -> Path:
    path = folder / "predictions.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize(
    "kind, prefix", [("bbox", "detections"), ("segm", "detections"), ("keypoints", "person_keypoints")]
)
def test_the_archive_holds_the_file_that_the_server_expects(tmp_path: Path, kind: str, prefix: str) -> None:
    source = _predictions(tmp_path, [ENTRIES[kind]])
    arguments = ["data", "submission", str(source), "-o", str(tmp_path / "out.zip"), "--kind", kind, "--name", "ours"]
    assert cli.main(arguments) == 0
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == [f"{prefix}_test-dev2017_ours_results.json"]
        assert json.loads(archive.read(archive.namelist()[0])) == [ENTRIES[kind]]


def test_equal_predictions_give_equal_bytes(tmp_path: Path) -> None:
    source = _predictions(tmp_path, [ENTRIES["bbox"]])
    one, two = (write_submission(source, tmp_path / name, "bbox", "a") for name in ("1.zip", "2.zip"))
    assert one.read_bytes() == two.read_bytes()


def test_every_entry_that_the_server_would_refuse_is_listed(tmp_path: Path) -> None:
    info = tmp_path / "image_info_test-dev2017.json"
    info.write_text(json.dumps({"images": [{"id": 7}], "categories": [{"id": 1}]}))
    good = ENTRIES["bbox"]
    wrong = [
        {**good, "image_id": 8},
        {**good, "category_id": 2},
        {**good, "bbox": [1, 2, 3]},
        {**good, "score": "1"},
        5,
    ]
    with pytest.raises(BrokenPredictions) as caught:
        write_submission(_predictions(tmp_path, [good, *wrong]), tmp_path / "out.zip", "bbox", "a", info)
    message = str(caught.value)
    assert message.startswith("5 problems") and not (tmp_path / "out.zip").exists()
    for expected in (
        "result 1: image 8",
        "result 2: no category 2",
        "result 3: bbox must be 4 numbers",
        "result 4: score",
    ):
        assert expected in message
    assert write_submission(_predictions(tmp_path, [good]), tmp_path / "out.zip", "bbox", "a", info).exists()


def test_what_is_no_submission_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "out.zip"
    with pytest.raises(MissingData, match="does not exist"):
        write_submission(tmp_path / "none.json", output, "bbox", "a")
    with pytest.raises(BrokenPredictions, match="list of COCO results"):
        write_submission(_predictions(tmp_path, []), output, "bbox", "a")
    with pytest.raises(BadOption, match="not of label_maps"):
        write_submission(_predictions(tmp_path, [ENTRIES["bbox"]]), output, "miou", "a")
    with pytest.raises(BadOption, match="letters, digits"):
        write_submission(_predictions(tmp_path, [ENTRIES["bbox"]]), output, "bbox", "a_b/c")
    with pytest.raises(BrokenPredictions, match="run-length"):
        write_submission(_predictions(tmp_path, [ENTRIES["bbox"]]), output, "segm", "a")
