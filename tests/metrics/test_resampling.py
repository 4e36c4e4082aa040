from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.bootstrap import bootstrap_interval
from tests.metrics.samples import CLASSES, name_of, random_maps, sample_set, write_maps
from tests.metrics.test_subset import BOXES, each_metric
from transfer.errors import BadOption, BrokenAnnotation, BrokenPredictions, UnknownName
from transfer.metrics import coco_types, hotcoco, keypoints, semantic
from transfer.metrics.curves import Curves
from transfer.metrics.metric import Files
from transfer.metrics.rankings import Ranking
from transfer.metrics.registry import find_metric
from transfer.metrics.resampling import Gap, gap_intervals
from transfer.metrics.rescoring import COCO_RECALLS
from transfer.metrics.subset import score_part
from transfer.metrics.voc import RECALLS

CLEAN = [name_of(image) for image in (1, 2, 4, 5, 8)]
ROUNDING = 1e-12
"""Sums of the same numbers in another order."""

seeds = st.integers(0, 10**6)


def rescored(metric, files, weights):
    scores = metric.resample(files, metric.headline)(np.asarray(weights, float))
    return {name: scores[name] for name in metric.headline}


def chosen(metric, scores):
    return pytest.approx({name: scores[name] for name in metric.headline}, rel=0, abs=ROUNDING)


@pytest.mark.parametrize("quick", [True, False])
@each_metric
@settings(max_examples=15, deadline=None)
@given(seed=seeds, ties=st.booleans())
def test_at_equal_weights_the_scores_are_the_scorers(written, metric, quick, seed, ties):
    truth, found = sample_set(seed, images=5, ties=ties)
    files = Files(*written(found, truth))
    with pytest.MonkeyPatch.context() as patch:
        if not quick:
            patch.setattr(hotcoco, "hotcoco", None)
        assert rescored(metric, files, [1] * 5) == chosen(metric, metric.evaluate(files))


@each_metric
@settings(max_examples=20, deadline=None)
@given(seed=seeds, counts=st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_weights_are_copies_of_images(written, metric, seed, counts):
    """Copies are neighbours in order of image id, and so among equal scores, which are those of copies only."""
    truth, found = sample_set(seed, images=5)
    weighted = rescored(metric, Files(*written(found, truth)), counts)
    assert weighted == chosen(metric, metric.evaluate(Files(*written(*copied(found, truth, counts)))))


def copied(found, truth, counts):
    def copies(entry, image, key):
        return [{**entry, key: 10 * image + copy} for copy in range(counts[image - 1])]

    images = [copy for image in truth["images"] for copy in copies(image, image["id"], "id")]
    objects, found = (
        [copy for entry in entries for copy in copies(entry, entry["image_id"], "image_id")]
        for entries in (truth["annotations"], found)
    )
    numbered = [{**entry, "id": number} for number, entry in enumerate(objects, start=1)]
    return found, {**truth, "images": images, "annotations": numbered}


@pytest.mark.parametrize("recalls", [COCO_RECALLS, RECALLS])
@pytest.mark.parametrize("objects", [1, 10, 30, 50, 100, 200])  # 0.29 × 100 < 29
def test_a_recall_counts_where_it_is_reached_as_floats_compare(objects, recalls):
    for found in range(objects + 1):
        detections, hits = np.zeros(found, np.intp), np.ones((1, found), bool)
        curves = Curves(Ranking(detections, detections, hits, ~hits, np.array([[float(objects)]])))
        mean = curves.means(curves.points(np.ones(1)), recalls)
        reached = (recalls <= found / objects).mean() if found else 0
        assert mean == pytest.approx(reached, rel=0, abs=ROUNDING)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, counts=st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(any))
def test_weights_are_copies_of_label_maps(tmp_path_factory, seed, counts):
    pairs = random_maps(seed, images=4)
    again = {f"{stem}-{copy}": pairs[stem] for stem, count in zip(pairs, counts, strict=True) for copy in range(count)}
    files = write_maps(tmp_path_factory.mktemp("maps"), pairs | again)
    expected = semantic.METRIC.evaluate(Files(*files, CLASSES, tuple(again)))
    weighted = rescored(semantic.METRIC, Files(*files, CLASSES, tuple(pairs)), counts)
    assert weighted == chosen(semantic.METRIC, expected)


@pytest.mark.real_data
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_published_results(fixtures, kind):
    folder = fixtures / "cocoapi_val2014"
    truth = folder / "instances_val2014_100.json"
    results = folder / f"instances_val2014_fake{kind}100_results.json"
    part = [image["file_name"] for image in json.loads(truth.read_text())["images"]][:60]
    metric, files = find_metric(kind), Files(results, truth)
    gaps = gap_intervals(metric, files, part, scores=["AP", "AP50", "AP75"], draws=20)
    whole = hotcoco.hot_stats(coco_types.BOXES if kind == "bbox" else coco_types.MASKS, results, truth)
    assert [gap.full for gap in gaps.values()] == pytest.approx(whole[:3], rel=0, abs=ROUNDING)
    clean = score_part(metric, files, part)
    assert [gap.clean for gap in gaps.values()] == pytest.approx(list(clean.values())[:3], rel=0, abs=ROUNDING)


@pytest.mark.real_data
def test_people_in_photographs(shared_data, written):
    path = shared_data / "coco_mini" / "annotations" / "person_keypoints_val2017.json"
    truth, draw = json.loads(path.read_text()), random.Random(0)
    found = [
        {key: entry[key] for key in ("image_id", "category_id")}
        | {"score": round(draw.random(), 2), "keypoints": [value * draw.gauss(1, 0.04) for value in entry["keypoints"]]}
        for entry in truth["annotations"] * 2
    ]
    files, metric = Files(*written(found, truth)), keypoints.METRIC
    assert rescored(metric, files, [1] * len(truth["images"])) == chosen(metric, metric.evaluate(files))


@each_metric
def test_full_and_clean_are_the_scores_of_the_set_and_its_part(written, metric):
    files = Files(*written(*reversed(sample_set())))
    gaps = gap_intervals(metric, files, CLEAN, scores=metric.headline, draws=50)
    assert {name: gap.full for name, gap in gaps.items()} == chosen(metric, metric.evaluate(files))
    assert {name: gap.clean for name, gap in gaps.items()} == chosen(metric, score_part(metric, files, CLEAN))
    for gap in gaps.values():
        assert gap.gap == gap.full - gap.clean and gap.low <= gap.high


def test_full_and_clean_of_label_maps(tmp_path):
    metric, files = semantic.METRIC, Files(*write_maps(tmp_path, random_maps()), CLASSES, ("03", "00", "01"))
    gaps = gap_intervals(metric, files, ["00", "03"], scores=metric.headline, draws=9)
    assert {name: gap.full for name, gap in gaps.items()} == chosen(metric, metric.evaluate(files))
    assert {name: gap.clean for name, gap in gaps.items()} == chosen(metric, score_part(metric, files, ["00", "03"]))


@each_metric
def test_a_seed_decides_and_the_order_of_images_does_not(written, metric):
    truth, found = sample_set()
    names = metric.headline
    first = gap_intervals(metric, Files(*written(found, truth)), CLEAN, scores=names, draws=30)
    again = Files(
        *written(found, {**truth, "images": truth["images"][::-1], "annotations": truth["annotations"][::-1]})
    )
    assert gap_intervals(metric, again, set(CLEAN), scores=names, draws=30) == first
    assert gap_intervals(metric, again, CLEAN, scores=names, draws=30, seed=1) != first


@each_metric
def test_duplicates_that_are_found_better_lift_the_score(written, metric):
    duplicates = range(1, 21)
    files = Files(*written(*reversed(sample_set(images=40, noise=lambda image: 0 if image in duplicates else 0.3))))
    clean = [name_of(image) for image in range(21, 41)]
    for gap in gap_intervals(metric, files, clean, scores=metric.headline, draws=200).values():
        assert 0 < gap.low < gap.gap < gap.high


@each_metric
def test_duplicates_like_all_others_make_no_difference(written, metric):
    files = Files(*written(*reversed(sample_set(images=60))))
    clean = [name_of(image) for image in range(1, 61, 2)]
    for gap in gap_intervals(metric, files, clean, scores=metric.headline, draws=200).values():
        assert gap.low < 0 < gap.high


@each_metric
def test_all_clean_or_none(written, metric):
    files, names = Files(*written(*reversed(sample_set()))), metric.headline
    whole = gap_intervals(metric, files, [name_of(image) for image in range(1, 9)], scores=names, draws=5)
    assert all((gap.gap, gap.low, gap.high) == (0, 0, 0) for gap in whole.values())
    nothing = gap_intervals(metric, files, [], scores=names, draws=5)
    assert nothing == {name: Gap(gap.full, -1.0, None, None, None) for name, gap in whole.items()}


@each_metric
@pytest.mark.parametrize("images", [[], [{"id": 1, "file_name": "01.jpg", "height": 9, "width": 9}]])
def test_nothing_to_find(written, metric, images):
    files = Files(*written([], {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}))
    gaps = gap_intervals(metric, files, [], scores=metric.headline, draws=2)
    assert set(gaps.values()) == {Gap(-1.0, -1.0, None, None, None)}


def test_draws_without_a_clean_image_are_left_out(written):
    """Of two images, one clean, a quarter of the draws has no clean one; it counts as no gap, not as one of 1."""
    truth, found = sample_set(images=2)
    found = [{**entry, "score": 0.5} for entry in truth["annotations"] if entry["image_id"] == 1]
    gaps = gap_intervals(BOXES, Files(*written(found, truth)), ["01.jpg"], scores=["AP50"], draws=99)
    assert (gaps["AP50"].clean, gaps["AP50"].high) == (1, 0) and gaps["AP50"].low < 0


def test_a_mean_has_the_interval_of_its_own_bootstrap(tmp_path):
    """Clean maps, half of all, are wrong everywhere; so the gap is the mean accuracy of all maps."""
    draw, right = np.random.default_rng(3), []
    pairs = {}
    for number in range(40):
        hits = np.arange(100).reshape(10, 10) < (draw.integers(20, 90) if number % 2 else 0)
        pairs[f"{number:02}"] = hits.astype(np.uint8), np.ones((10, 10), np.uint8)
        right.append(float(hits.mean()))
    clean = list(pairs)[::2]
    files = Files(*write_maps(tmp_path, pairs), CLASSES)
    gap = gap_intervals(semantic.METRIC, files, clean, scores=["aAcc"], draws=300, seed=5)["aAcc"]
    assert (gap.low, gap.high) == pytest.approx(bootstrap_interval(right, draws=300, seed=5), abs=ROUNDING)


def test_a_level_decides_how_wide(written):
    files = Files(*written(*reversed(sample_set())))
    narrow, wide = (gap_intervals(BOXES, files, CLEAN, scores=["AP"], draws=99, level=n)["AP"] for n in (0.5, 0.9))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scores": ["AP5"]}, UnknownName, "resampled score of bbox 'AP5'"),
        ({"draws": 0}, BadOption, "draws > 0"),
        ({"level": 1.0}, BadOption, "level < 1"),
    ],
)
def test_options_that_cannot_work(options, error, message):
    with pytest.raises(error, match=message):
        gap_intervals(BOXES, None, [], **{"scores": ["AP"], **options})


def test_clean_images_that_the_truth_lacks(written):
    with pytest.raises(BadOption, match=r"got 1 that it lacks: 9\.jpg"):
        gap_intervals(BOXES, Files(*written(*reversed(sample_set()))), [*CLEAN, "9.jpg"], scores=["AP"])


@pytest.mark.parametrize(
    ("kind", "change", "error"),
    [
        ("bbox", {"bbox": [1]}, BrokenPredictions),
        ("segm", {"segmentation": None}, BrokenPredictions),
        ("keypoints", {"keypoints": [1]}, BrokenPredictions),
        ("voc", {"score": None}, BrokenPredictions),
    ],
)
def test_broken_files_are_named(written, kind, change, error):
    truth, found = sample_set()
    predictions, annotations = written([found[0] | change, *found[1:]], truth)
    metric = find_metric(kind)
    with pytest.raises(error, match=f"{predictions}: entry 0"):
        gap_intervals(metric, Files(predictions, annotations), CLEAN, scores=metric.headline)
    with pytest.raises(BrokenAnnotation, match="images, annotations, categories"):
        gap_intervals(metric, Files(predictions, predictions), CLEAN, scores=metric.headline)
