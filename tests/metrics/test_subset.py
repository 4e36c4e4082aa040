from __future__ import annotations

import json

import pytest

from tests.metrics.samples import CLASSES, name_of, random_maps, sample_set, write_maps
from transfer.errors import BadOption, BrokenAnnotation, BrokenPredictions
from transfer.metrics import semantic
from transfer.metrics.metric import Files
from transfer.metrics.registry import METRICS
from transfer.metrics.results_file import RESULTS_FILE
from transfer.metrics.subset import score_part

OF_OBJECTS = [metric for metric in METRICS if metric.form is RESULTS_FILE]
each_metric = pytest.mark.parametrize("metric", OF_OBJECTS, ids=lambda metric: metric.name)
BOXES = OF_OBJECTS[0]

PART = {name_of(image) for image in (2, 3, 7)}


@pytest.mark.parametrize("ties", [False, True])
@each_metric
def test_a_part_is_scored_as_files_of_nothing_else(written, metric, ties):
    truth, found = sample_set(ties=ties)
    whole = Files(*written(found, truth))
    part, everything = score_part(metric, whole, PART), score_part(metric, whole, [name_of(n) for n in range(1, 9)])
    assert everything == metric.evaluate(whole)
    images = [image for image in truth["images"] if image["id"] in (2, 3, 7)]
    objects, found = ([e for e in entries if e["image_id"] in (2, 3, 7)] for entries in (truth["annotations"], found))
    alone = Files(*written(found, {**truth, "images": images, "annotations": objects}))
    assert part == metric.evaluate(alone) != everything


def test_a_part_of_label_maps(tmp_path):
    pairs = random_maps()
    part = score_part(semantic.METRIC, Files(*write_maps(tmp_path, pairs), CLASSES), ["04", "01"])
    alone = write_maps(tmp_path / "alone", {stem: pairs[stem] for stem in ("01", "04")})
    assert part == semantic.METRIC.evaluate(Files(*alone, CLASSES))


@each_metric
def test_a_part_without_images_is_undefined(written, metric):
    files = Files(*written(*reversed(sample_set())))
    assert score_part(metric, files, []) == dict.fromkeys(metric.evaluate(files), -1.0)


def test_no_label_maps_are_undefined(tmp_path):
    files = Files(*write_maps(tmp_path, random_maps()), CLASSES)
    assert score_part(semantic.METRIC, files, []) == dict.fromkeys(semantic.METRIC.evaluate(files), -1.0)


@each_metric
def test_images_that_the_truth_lacks(written, metric):
    with pytest.raises(BadOption, match=r"its 8 images, got 4 that it lacks: 02.png, a, b, …; nearest .*: 02.jpg"):
        score_part(metric, Files(*written(*reversed(sample_set()))), {*PART, "02.png", "a", "b", "c"})


def test_label_maps_that_the_truth_lacks(tmp_path):
    with pytest.raises(BadOption, match=r"got 1 that it lacks: 01.png; nearest to the first: 01"):
        score_part(semantic.METRIC, Files(*write_maps(tmp_path, random_maps()), CLASSES), ["01.png"])


def test_images_need_names(written):
    truth, found = sample_set()
    del truth["images"][1]["file_name"]
    with pytest.raises(BrokenAnnotation, match="file_name of every image, image 2 has none"):
        score_part(BOXES, Files(*written(found, truth)), PART)


def test_a_broken_entry_is_that_of_the_whole_file(written):
    truth, found = sample_set()
    last = max(number for number, entry in enumerate(found) if entry["image_id"] == 7)
    found[last]["bbox"] = [1, 2]
    predictions, annotations = written(found, truth)
    with pytest.raises(BrokenPredictions, match=rf"{predictions}: entry {last} has 2 values as bbox"):
        score_part(BOXES, Files(predictions, annotations), PART)
    assert json.loads(predictions.read_text()) == found
