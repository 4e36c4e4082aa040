from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from transfer.errors import BadOption, BrokenAnnotation, BrokenPredictions, CorruptImage, MissingData
from transfer.metrics.invariants import check_scores
from transfer.metrics.label_maps import count_pairs
from transfer.metrics.metric import Files
from transfer.metrics.semantic import METRIC, score_label_maps

CLASSES = ("sky", "road", "tree", "car")


def folders(root, maps):
    for number, pair in enumerate(maps):
        for name, pixels in zip(("truth", "predictions"), pair, strict=True):
            (root / name).mkdir(exist_ok=True)
            Image.fromarray(np.asarray(pixels, np.uint8)).save(root / name / f"{number}.png")
    return Files(root / "predictions", root / "truth", CLASSES, tuple(str(n) for n in range(len(maps))))


def reference(maps):
    """The definition, pixel by pixel."""
    hits, labelled, predicted = ({index: 0 for index in range(len(CLASSES))} for _ in range(3))
    for truth, prediction in maps:
        for true, found in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if true != 255:
                labelled[true] += 1
                predicted[found] += 1
                hits[true] += true == found
    ious = {k: hits[k] / (labelled[k] + predicted[k] - hits[k]) for k in hits if labelled[k] + predicted[k]}
    accuracies = {k: hits[k] / labelled[k] for k in hits if labelled[k]}
    return {
        "mIoU": sum(ious.values()) / len(ious) if ious else -1,
        "aAcc": sum(hits.values()) / sum(labelled.values()) if ious else -1,
        "mAcc": sum(accuracies.values()) / len(accuracies) if ious else -1,
        **{f"IoU/{name}": ious.get(k, -1) for k, name in enumerate(CLASSES)},
        **{f"Acc/{name}": accuracies.get(k, -1) for k, name in enumerate(CLASSES)},
    }


shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)
pairs = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 3, 255])),
        hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2])),
    )
)


@settings(max_examples=80, deadline=None)
@given(st.lists(pairs, min_size=1, max_size=3))
def test_equals_a_loop_over_pixels(maps):
    with tempfile.TemporaryDirectory() as root:
        scores = score_label_maps(folders(Path(root), maps))
    assert scores == pytest.approx(reference(maps), abs=1e-12)
    assert all(type(value) is float for value in scores.values())
    check_scores(METRIC, scores)


def test_equals_mmseg(tmp_path):
    import torch
    from mmseg.evaluation.metrics.iou_metric import IoUMetric

    draw = np.random.default_rng(0)
    maps = [(draw.choice([0, 1, 3, 255], (40, 50)), draw.choice([0, 1, 2], (40, 50))) for _ in range(3)]
    tensors = [(torch.from_numpy(found), torch.from_numpy(truth)) for truth, found in maps]
    counts = [IoUMetric.intersect_and_union(*pair, len(CLASSES), 255) for pair in tensors]
    theirs = IoUMetric.total_area_to_metrics(*map(sum, zip(*counts, strict=True)), ["mIoU"])
    scores = score_label_maps(folders(tmp_path, maps))
    expected = {
        "mIoU": np.nanmean(theirs["IoU"]), "aAcc": theirs["aAcc"], "mAcc": np.nanmean(theirs["Acc"]),
        **{f"IoU/{name}": value for name, value in zip(CLASSES, theirs["IoU"], strict=True)},
        **{f"Acc/{name}": value for name, value in zip(CLASSES, theirs["Acc"], strict=True)},
    }  # fmt: skip
    expected = {name: -1 if np.isnan(value) else float(value) for name, value in expected.items()}
    assert scores == pytest.approx(expected, abs=1e-6)  # theirs are 32-bit floats


def test_class_absent_everywhere_is_left_out(tmp_path):
    scores = score_label_maps(folders(tmp_path, [([[0, 0, 1, 1]], [[0, 0, 0, 1]])]))
    assert scores["IoU/tree"] == scores["IoU/car"] == -1
    assert scores["mIoU"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_another_ignored_label(tmp_path):
    options = folders(tmp_path, [([[9, 1]], [[0, 1]])])
    assert score_label_maps(replace(options, ignore=9))["mIoU"] == 1


def test_what_is_predicted_where_nothing_counts_does_not_matter(tmp_path):
    options = folders(tmp_path, [([[255, 1]], [[255, 1]])])
    assert score_label_maps(options)["mIoU"] == 1


def test_palette_images_hold_indices(tmp_path):
    options = folders(tmp_path, [([[0, 1]], [[0, 1]])])
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([0, 0, 0, 200, 10, 30])
    image.save(tmp_path / "truth" / "0.png")
    with Image.open(tmp_path / "truth" / "0.png") as saved:
        assert saved.mode == "P"
    assert score_label_maps(options)["mIoU"] == 1


@pytest.mark.parametrize(
    ("truth", "prediction", "error", "message"),
    [
        ([[0, 1]], [[0, 4]], BrokenPredictions, r"predictions.0\.png: expected labels 0 to 3, got 4 in 1 pixels"),
        ([[0, 1]], [[0, 255]], BrokenPredictions, r"predictions.0\.png: expected labels 0 to 3, got 255 in 1 pixels"),
        ([[7, 7]], [[0, 1]], BrokenAnnotation, r"truth.0\.png: expected labels 0 to 3, got 7 in 2 pixels"),
        ([[0, 1]], [[0], [1]], BrokenPredictions, r"predictions.0\.png: expected 2×1 pixels as in .*, got 1×2"),
    ],
)
def test_impossible_maps(tmp_path, truth, prediction, error, message):
    with pytest.raises(error, match=message):
        score_label_maps(folders(tmp_path, [(truth, prediction)]))


@pytest.mark.parametrize(("name", "error"), [("truth", MissingData), ("predictions", BrokenPredictions)])
def test_missing_map(tmp_path, name, error):
    options = folders(tmp_path, [([[0]], [[0]]), ([[0]], [[0]])])
    (tmp_path / name / "1.png").unlink()
    with pytest.raises(error, match=rf"{name}.1\.png"):
        score_label_maps(options)


@pytest.mark.parametrize(("name", "error"), [("truth", CorruptImage), ("predictions", BrokenPredictions)])
@pytest.mark.parametrize("keep", [0, 20, 60])
def test_truncated_map(tmp_path, name, error, keep):
    noise = np.random.default_rng(0).integers(0, 4, (30, 30))
    options = folders(tmp_path, [(noise, noise)])
    path = tmp_path / name / "0.png"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(error, match=rf"{name}.0\.png"):
        score_label_maps(options)


@pytest.mark.parametrize("mode", ["RGB", "I;16", "1"])
def test_map_of_another_mode(tmp_path, mode):
    options = folders(tmp_path, [([[0]], [[0]])])
    Image.new(mode, (1, 1)).save(tmp_path / "predictions" / "0.png")
    with pytest.raises(BrokenPredictions, match="8-bit PNG of class indices"):
        score_label_maps(options)


@pytest.mark.parametrize(
    "change", [{"images": ()}, {"classes": ()}, {"classes": ("sky", "sky")}, {"ignore": -1}, {"ignore": 256}]
)
def test_impossible_options(tmp_path, change):
    options = replace(folders(tmp_path, [([[0]], [[0]])]), **change)
    with pytest.raises(BadOption, match="expected"):
        score_label_maps(options)


def test_counts_are_exact_integers_and_equal_a_bincount_of_wide_numbers():
    draw = np.random.default_rng(0)
    truth, found = (draw.integers(0, 256, (300, 400)).astype(np.uint8) for _ in range(2))
    counts = count_pairs(truth, found)
    wide = np.bincount(truth.astype(np.int64).ravel() * 256 + found.ravel(), minlength=1 << 16)
    wide.reshape(256, 256)[255] = 0
    assert counts.dtype == np.int64 and (counts.ravel() == wide).all()


def test_more_pixels_than_a_32_bit_float_can_count():
    """Above 2²⁴ pixels of one class: mmseg's float32 histograms stop at 2²⁴."""
    side = 1 << 12
    truth = np.zeros((side + 1, side), np.uint8)
    found = truth.copy()
    found[0, 0] = 1
    counts = count_pairs(truth, found)
    assert (counts[0, 0], counts[0, 1]) == (side * side + side - 1, 1)
