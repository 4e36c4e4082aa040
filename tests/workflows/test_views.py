"""Truth beside predictions: a view for every type of annotations, on drawn test sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.metrics.samples import CLASSES, SIDE, block_maps, sample_set, write_maps
from transfer.metrics.metric import Files
from transfer.schemas.annotations import TYPES, AnnotationType
from transfer.workflows.views import VIEWS, RunFiles, Shown, view_of

each_type = pytest.mark.parametrize("needed", TYPES, ids=lambda needed: needed.name)


def run_files(needed: AnnotationType, folder: Path, exact: bool) -> RunFiles:
    """A test set whose predictions are its truth, or others."""
    if needed.field is None:
        pairs = {stem: (np.where(truth == 255, 0, truth) if exact else found, truth)
                 for stem, (found, truth) in block_maps().items()}  # fmt: skip
        files, size = Files(*write_maps(folder, pairs), CLASSES), (90, 120)
    else:
        truth, found = sample_set()
        truth["categories"][0]["skeleton"] = [[1, 2], [2, 3]]
        if exact:
            found = [{**entry, "score": 0.9} for entry in truth["annotations"] if not entry["iscrowd"]]
        files, size = Files(folder / "found.json", folder / "truth.json"), (SIDE, SIDE)
        files.predictions.write_text(json.dumps(found))
        files.truth.write_text(json.dumps(truth))
    Image.new("RGB", size, (90, 90, 90)).save(folder / "image.png")
    return RunFiles(files, lambda name: folder / "image.png")


def shown(needed: AnnotationType, folder: Path, exact: bool) -> list[Shown]:
    return list(view_of(needed.name).tests(run_files(needed, folder, exact)))


def test_every_type_of_annotations_has_a_view() -> None:
    assert [view.annotations for view in VIEWS] == [needed.name for needed in TYPES]


@each_type
def test_the_truth_agrees_with_itself_and_looks_alike(needed: AnnotationType, tmp_path: Path) -> None:
    for test in shown(needed, tmp_path, exact=True):
        assert test.agreement == pytest.approx(1)
        pair = test.draw("caption")
        assert pair.truth.size == pair.prediction.size and pair.caption == "caption"
        assert len(np.unique(np.asarray(pair.truth))) > 1, "nothing is drawn"


@each_type
def test_other_predictions_agree_less(needed: AnnotationType, tmp_path: Path) -> None:
    tests = shown(needed, tmp_path, exact=False)
    assert all(0 <= test.agreement < 1 for test in tests) and len({test.agreement for test in tests}) > 1
    pair = tests[0].draw("")
    assert np.asarray(pair.truth).tobytes() != np.asarray(pair.prediction).tobytes()


def test_label_maps_need_a_legend(tmp_path: Path) -> None:
    files = Files(tmp_path, tmp_path, CLASSES)
    assert [name for name, _ in view_of("label_maps").legend(files)] == list(CLASSES)
    assert view_of("boxes").legend(files) == []
