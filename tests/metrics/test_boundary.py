"""Boundary IoU against its definition in plain loops over pixels."""

from __future__ import annotations

import math
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as rle

from tests.metrics.samples import CLASSES, SIDE, mask_of, sample_set, write_maps
from transfer.errors import BrokenPredictions
from transfer.metrics.boundary import BOUNDARY_MIOU, BOUNDARY_SEGM, boundaries
from transfer.metrics.boxes import BOX_SCORES
from transfer.metrics.invariants import check_scores
from transfer.metrics.metric import Files

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' decode


def region(mask):
    """Pixels of a mask from which a square of 2 d + 1 pixels, d = 2 % of the diagonal, reaches out of the mask."""
    height, width = mask.shape
    reach = max(1, round(0.02 * math.sqrt(height**2 + width**2)))
    found = np.zeros(mask.shape, bool)
    for y, x in zip(*np.nonzero(mask), strict=True):
        window = [(y + dy, x + dx) for dy, dx in product(range(-reach, reach + 1), repeat=2)]
        found[y, x] = not all(0 <= v < height and 0 <= u < width and mask[v, u] for v, u in window)
    return found


def reference(maps):
    """Per class the regions' intersection over union in all maps together; void is outside of every mask."""
    both, either = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    for found, truth in maps:
        for label in range(len(CLASSES)):
            one, other = (region((labels == label) & (truth != 255)) for labels in (truth, found))
            both[label] += (one & other).sum()
            either[label] += (one | other).sum()
    ious = [b / e if e else -1 for b, e in zip(both, either, strict=True)]
    defined = [iou for iou in ious if iou != -1]
    mean = sum(defined) / len(defined) if defined else -1
    return {"mBIoU": mean, **{f"BIoU/{name}": iou for name, iou in zip(CLASSES, ious, strict=True)}}


def blocky(shape, labels):
    small = hnp.arrays(np.uint8, (math.ceil(shape[0] / 7), math.ceil(shape[1] / 5)), elements=st.sampled_from(labels))
    return small.map(lambda blocks: np.kron(blocks, np.ones((7, 5), np.uint8))[: shape[0], : shape[1]])


shapes = st.tuples(st.integers(1, 40), st.integers(1, 110))  # up to 117 pixels across: d is 1 or 2
pairs = shapes.flatmap(lambda shape: st.tuples(blocky(shape, [0, 1, 2]), blocky(shape, [0, 1, 255])))


@settings(max_examples=15, deadline=None)
@given(st.lists(pairs, min_size=1, max_size=2))
def test_label_maps_equal_a_loop_over_pixels(maps):
    with tempfile.TemporaryDirectory() as root:
        files = write_maps(Path(root), {str(number): pair for number, pair in enumerate(maps)})
        scores = BOUNDARY_MIOU.evaluate(Files(*files, CLASSES))
    assert scores == pytest.approx(reference(maps), abs=1e-12)
    check_scores(BOUNDARY_MIOU, scores)


def test_what_is_predicted_where_nothing_counts_does_not_matter(tmp_path):
    truth = np.kron(np.array([[0, 1, 255]], np.uint8), np.ones((30, 20), np.uint8))
    found = np.where(truth == 255, np.arange(60, dtype=np.uint8) % 3, truth)
    files = Files(*write_maps(tmp_path, {"a": (found.astype(np.uint8), truth)}), CLASSES)
    assert BOUNDARY_MIOU.evaluate(files) == {"mBIoU": 1, "BIoU/sky": 1, "BIoU/road": 1, "BIoU/car": -1}


def test_a_thin_error_costs_the_boundary_more_than_the_mask(tmp_path):
    """A square of 60 pixels, 2 too wide at one side, of an image with d = 3."""
    truth, found = np.zeros((2, 100, 100), np.uint8)
    truth[20:80, 20:80] = found[20:80, 20:82] = 1
    (tmp_path / "a").mkdir()
    scores = BOUNDARY_MIOU.evaluate(Files(*write_maps(tmp_path / "a", {"a": (found, truth)}), CLASSES))
    ring, wider = 60 * 60 - 54 * 54, 60 * 62 - 54 * 56
    common = ring - 2 * 54  # of the right side, one of three columns is in both
    assert scores["BIoU/road"] == common / (ring + wider - common) < 60 / 62


@pytest.mark.parametrize(("size", "reach"), [((10, 10), 1), ((480, 640), 16), ((128, 128), 4)])
def test_a_region_reaches_two_percent_of_the_diagonal(size, reach):
    """As the authors round it; of a mask that fills the image, the border is the contour."""
    kept = boundaries(np.ones(size, np.uint8), size) == 1
    assert kept.sum() == size[0] * size[1] - (size[0] - 2 * reach) * (size[1] - 2 * reach)


def regions_and_masks(entries):
    masks = [rle.decode(mask_of(entry["bbox"])).astype(bool) for entry in entries]
    return [(mask, region(mask)) for mask in masks]


def overlap(detection, target, crowd):
    (found, found_region), (true, true_region) = detection, target
    if crowd:
        return (found & true).sum() / found.sum()
    ious = [(a & b).sum() / (a | b).sum() for a, b in ((found, true), (found_region, true_region))]
    return min(ious)


def test_masks_equal_the_definition_in_plain_loops(written, precision_and_recall):
    truth, found = sample_set(seed=3, images=4)
    files = Files(*written(found, truth))
    entries = [*truth["annotations"], *found]
    drawn = {id(entry): both for entry, both in zip(entries, regions_and_masks(entries), strict=True)}
    for entry in found:
        entry["area"] = drawn[id(entry)][0].sum()

    def similarity(detection, target):
        return overlap(drawn[id(detection)], drawn[id(target)], target["iscrowd"])

    scores = BOUNDARY_SEGM.evaluate(files)
    for suffix in ("", "s", "m"):
        precision, recall = precision_and_recall(truth, found, similarity, lambda entry: entry["iscrowd"], area=suffix)
        assert scores[f"AP{suffix}"] == pytest.approx(precision.mean(), abs=1e-9)
        assert scores[f"AR{suffix or 100}"] == pytest.approx(recall.mean(), abs=1e-9)
        if not suffix:
            assert (scores["AP50"], scores["AP75"]) == pytest.approx((precision[0].mean(), precision[5].mean()))
            assert 0 < scores["AP"] < scores["AP50"] < 1
    check_scores(BOUNDARY_SEGM, scores)


def drawn(rows, columns, hole=0):
    """A rectangle in 100 × 100 pixels, without its inside from `hole` pixels on, as an entry."""
    mask = np.zeros((100, 100), np.uint8, order="F")
    mask[slice(*rows), slice(*columns)] = 1
    if hole:
        mask[rows[0] + hole : rows[1] - hole, columns[0] + hole : columns[1] - hole] = 0
    code = rle.encode(mask)
    return {
        "image_id": 1, "category_id": 2, "iscrowd": 0, "bbox": [columns[0], rows[0], 60, 60], "area": int(mask.sum()),
        "segmentation": {**code, "counts": code["counts"].decode()},
    }  # fmt: skip


def score_of(written, objects, found):
    numbered = [{**entry, "id": number} for number, entry in enumerate(objects, start=1)]
    image = {"id": 1, "file_name": "1.jpg", "height": 100, "width": 100}
    truth = {"images": [image], "categories": [{"id": 2, "name": "cat"}], "annotations": numbered}
    scored = [{**entry, "score": 1 - number / 10} for number, entry in enumerate(found)]
    return BOUNDARY_SEGM.evaluate(Files(*written(scored, truth)))["AP50"]


def test_a_mask_with_the_right_contour_and_no_inside_finds_nothing(written):
    """Its boundary IoU is 1: d is 3 pixels, all that the outline has."""
    square, outline = drawn((20, 80), (20, 80)), drawn((20, 80), (20, 80), hole=3)
    assert score_of(written, [square], [square]) == pytest.approx(1)
    assert score_of(written, [square], [outline]) == 0


def test_what_lies_in_a_crowd_is_no_false_alarm(written):
    """Of a crowd the mask alone decides: the contour of the second detection is nowhere near the crowd's."""
    square, crowd, inside = drawn((60, 90), (60, 90)), drawn((0, 50), (0, 50)), drawn((20, 30), (20, 30))
    assert score_of(written, [square, {**crowd, "iscrowd": 1}], [inside, square]) == pytest.approx(1)
    assert score_of(written, [square], [inside, square]) == pytest.approx(0.5)


def test_the_boundary_never_scores_above_the_mask(written):
    from transfer.metrics.masks import score_masks

    files = written(*reversed(sample_set(seed=1, images=10)))
    boundary, mask = BOUNDARY_SEGM.evaluate(Files(*files)), score_masks(*files, own_areas=True)
    assert all(boundary[name] <= mask[name] for name in BOX_SCORES) and boundary["AP"] < mask["AP"]


def test_a_perfect_mask_scores_one(written):
    truth, _ = sample_set(images=3)
    found = [{**entry, "score": 0.9} for entry in truth["annotations"]]
    crowdless = {**truth, "annotations": [{**entry, "iscrowd": 0} for entry in truth["annotations"]]}
    assert BOUNDARY_SEGM.evaluate(Files(*written(found, crowdless)))["AP"] == pytest.approx(1)


def test_an_empty_mask_finds_nothing(written):
    truth, _ = sample_set(images=1)
    empty = {"size": [SIDE, SIDE], "counts": [SIDE * SIDE]}
    found = [{"image_id": 1, "category_id": 5, "score": 1.0, "segmentation": empty}]
    assert BOUNDARY_SEGM.evaluate(Files(*written(found, truth)))["AP"] == 0


def test_broken_masks_are_named(written):
    truth, found = sample_set(images=1)
    found[0]["segmentation"] = None
    with pytest.raises(BrokenPredictions, match="entry 0"):
        BOUNDARY_SEGM.evaluate(Files(*written(found, truth)))
