from __future__ import annotations

import pytest

from transfer.errors import BrokenPredictions
from transfer.metrics.masks import score_masks

PUBLISHED = [0.319545, 0.562288, 0.298927, 0.387374, 0.310183, 0.326934, 0.268230, 0.415449, 0.416839, 0.469450,
             0.376759, 0.381472]  # fmt: skip
IMAGE = {"id": 1, "height": 10, "width": 10}
MASK = {"size": [10, 10], "counts": [0, 50, 50]}
OBJECT = {"id": 1, "image_id": 1, "category_id": 2, "segmentation": MASK, "area": 50, "iscrowd": 0}
TRUTH = {"images": [IMAGE], "categories": [{"id": 2, "name": "cat"}], "annotations": [OBJECT]}
FOUND = {"image_id": 1, "category_id": 2, "segmentation": MASK, "score": 0.5}


@pytest.mark.real_data
def test_published_numbers(fixtures):
    folder = fixtures / "cocoapi_val2014"
    results = next(folder.rglob("*segm*results.json"))
    scores = score_masks(results, next(folder.rglob("instances_val2014_100.json")))
    assert list(scores.values()) == pytest.approx(PUBLISHED, abs=1e-6)


@pytest.mark.real_data
def test_known_numbers_of_a_small_set_whose_results_have_boxes_too(fixtures):
    folder = fixtures / "fce_small"
    scores = score_masks(folder / "dt_dataset.json", folder / "gt_dataset.json")
    expected = [0.694719, 0.694719, 0.694719, -1, 0.792079, 0, 0.666667, 0.75, 0.75, -1, 0.791667, 0]
    assert list(scores.values()) == pytest.approx(expected, abs=1e-6)


def test_half_a_mask_is_found_at_half_overlap_only(written):
    half = {**FOUND, "segmentation": {"size": [10, 10], "counts": [0, 30, 70]}}
    scores = score_masks(*written([half], TRUTH))
    assert [scores[name] for name in ("AP50", "AP75", "APl")] == pytest.approx([1, 0, -1])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"size": [9, 10], "counts": [0, 50, 40]}, "size is not height 10"),
        ({"size": [10, 10], "counts": [0, 50]}, "runs cover 50 of 100"),
        (None, "size is not"),
    ],
)
def test_a_broken_mask_is_named(written, mask, message):
    with pytest.raises(BrokenPredictions, match=f"entry 1: .*{message}"):
        score_masks(*written([FOUND, {**FOUND, "segmentation": mask}], TRUTH))
