"""Both engines against pycocotools: every number of every drawn case is the same float."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from transfer.errors import BrokenAnnotation, BrokenPredictions, DataError
from transfer.metrics import coco_types, hotcoco
from transfer.metrics.boxes import score_boxes
from transfer.metrics.hotcoco import hot_stats
from transfer.metrics.keypoints import score_keypoints
from transfer.metrics.masks import score_masks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' decode

SCORE = {"bbox": score_boxes, "segm": score_masks, "keypoints": score_keypoints}
TYPE = {what.iou_type: what for what in (coco_types.BOXES, coco_types.MASKS, coco_types.JOINTS)}
HEIGHT, WIDTH = 110, 130
IMAGES = (3, 1, 7, 900_000_000_001)  # the last one stays empty
CATEGORIES = (2, 5, 90)  # nothing of the last one

sides = st.sampled_from([1, 8, 20.5, 31.9, 32, 32.1, 95.9, 96, 96.1])  # the bounds of small and large
boxes = st.tuples(st.sampled_from([0, 0.5, 3, 7]), st.sampled_from([0, 2, 9.25]), sides, sides)
places = st.fixed_dictionaries(
    {"image_id": st.sampled_from(IMAGES[:3]), "category_id": st.sampled_from(CATEGORIES[:2]), "bbox": boxes.map(list)}
)
targets = st.lists(st.tuples(places, st.sampled_from([0, 0, 0, 1])), max_size=8)
found = st.lists(st.tuples(places, st.sampled_from([0.1, 0.5, 0.5, 0.9])), max_size=16)  # ties


PLACE = {"image_id": 3, "category_id": 2, "bbox": [0, 0, 40, 60]}


def truth_of(annotations):
    images = [{"id": number, "height": HEIGHT, "width": WIDTH} for number in IMAGES]
    categories = [{"id": number, "name": str(number)} for number in CATEGORIES]
    numbered = [{**entry, "id": number} for number, entry in enumerate(annotations, start=1)]
    return {"images": images, "categories": categories, "annotations": numbered}


def boxes_of(targets, found):
    annotations = [{**place, "area": place["bbox"][2] * place["bbox"][3], "iscrowd": crowd} for place, crowd in targets]
    return truth_of(annotations), [{**place, "score": score} for place, score in found]


def polygon(box):
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x + w / 3, y + h, x, y + h / 2]


def runs(box, compressed=True):
    mask = rle.frPyObjects([polygon(box)], HEIGHT, WIDTH)[0]
    if compressed:
        return {"size": [HEIGHT, WIDTH], "counts": mask["counts"].decode()}
    pixels = rle.decode(mask).ravel(order="F")
    edges = np.flatnonzero(np.diff(pixels, prepend=0))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *edges, len(pixels)]).tolist()}


def masks_of(targets, found, with_boxes=False):
    truth, detections = boxes_of(targets, found)
    for number, entry in enumerate(truth["annotations"]):
        forms = [polygon(entry["bbox"])], runs(entry["bbox"], compressed=False), runs(entry["bbox"])
        entry["segmentation"] = forms[1 if entry["iscrowd"] else number % 3]
    for entry in detections:
        entry["segmentation"] = runs(entry["bbox"])
        if not with_boxes:
            del entry["bbox"]
    return truth, detections


def people_of(targets, found, with_boxes=False):
    truth, detections = boxes_of(targets, found)
    for number, entry in enumerate([*truth["annotations"], *detections]):
        draw, (x, y, w, h) = random.Random(number % 3), entry["bbox"]
        entry["keypoints"] = [
            value for joint in range(17)
            for value in (x + w * joint / 16 + draw.uniform(-4, 4), y + h * draw.random(), draw.choice([0, 1, 2]))
        ]  # fmt: skip
        if "score" in entry and not with_boxes:
            del entry["bbox"]
    for number, entry in enumerate(truth["annotations"]):
        if number % 4 == 3:
            entry["keypoints"][2::3] = [0] * 17
        entry["num_keypoints"] = sum(flag > 0 for flag in entry["keypoints"][2::3])
    return truth, detections


CASES = {
    "boxes": ("bbox", boxes_of),
    "masks": ("segm", masks_of),
    "masks with boxes": ("segm", lambda *drawn: masks_of(*drawn, with_boxes=True)),
    "people": ("keypoints", people_of),
    "people with boxes": ("keypoints", lambda *drawn: people_of(*drawn, with_boxes=True)),
}


def check(kind, truth, found, written, oracle):
    files = written(found, truth)
    expected = oracle(kind, truth, found)
    assert hot_stats(TYPE[kind], *files) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hotcoco, "hotcoco", None)
        assert list(SCORE[kind](*files).values()) == expected


def check_own_areas(truth, found, written, oracle):
    """As mmdet and detectron2 call pycocotools: without the boxes, by which it would sort masks into sizes."""
    files = written(found, truth)
    expected = oracle("segm", truth, [{key: entry[key] for key in entry if key != "bbox"} for entry in found])
    assert hot_stats(coco_types.MASKS, *files, own_areas=True) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hotcoco, "hotcoco", None)
        assert list(score_masks(*files, own_areas=True).values()) == expected


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=60, deadline=None)
@given(targets=targets, found=found)
def test_both_engines_are_pycocotools(written, pycocotools_stats, case, targets, found):
    kind, build = CASES[case]
    check(kind, *build(targets, found), written, pycocotools_stats)


@settings(max_examples=60, deadline=None)
@given(targets=targets, found=found)
def test_masks_by_their_own_areas(written, pycocotools_stats, targets, found):
    check_own_areas(*masks_of(targets, found, with_boxes=True), written, pycocotools_stats)


@pytest.mark.parametrize("case", CASES)
def test_more_than_a_hundred_detections_in_an_image(written, pycocotools_stats, case):
    draw = random.Random(0)
    spots = [{"image_id": 3, "category_id": 2, "bbox": [draw.uniform(0, 30), draw.uniform(0, 20), 40, 60]}
             for _ in range(250)]  # fmt: skip
    kind, build = CASES[case]
    truth, found = build([(spot, 0) for spot in spots[::2]], [(spot, round(draw.random(), 2)) for spot in spots])
    check(kind, truth, found, written, pycocotools_stats)


def test_runs_as_numbers_are_the_same_mask(written):
    truth, found = masks_of([(PLACE, 0)], [(PLACE, 0.5), ({**PLACE, "bbox": [1, 5, 30, 60]}, 0.7)])
    expected = hot_stats(coco_types.MASKS, *written(found, truth))
    for entry, box in zip(found, (PLACE["bbox"], [1, 5, 30, 60]), strict=True):
        entry["segmentation"] = runs(box, compressed=False)
    assert hot_stats(coco_types.MASKS, *written(found, truth)) == expected


REAL = {"bbox": "instances", "segm": "instances", "keypoints": "person_keypoints"}


@pytest.mark.real_data
@pytest.mark.parametrize("kind", REAL)
def test_coco_annotations_are_ordinary_files(shared_data, written, pycocotools_stats, kind):
    """Two noisy copies of every object; some masks are those of the first object in the image."""
    truth = json.loads((shared_data / "coco_mini" / "annotations" / f"{REAL[kind]}_val2017.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    draw, found, first = random.Random(0), [], {}
    for target in truth["annotations"] * 2:
        image = target["image_id"]
        entry = {"image_id": image, "category_id": target["category_id"], "score": round(draw.random(), 2)}
        if kind == "segm":
            shown = draw.choice([target, target, first.setdefault(image, target)])
            entry["segmentation"] = compressed(shown["segmentation"], *sizes[image])
        else:
            entry[kind] = [value * draw.gauss(1, 0.04) for value in target[kind]]
        found.append(entry)
    check(kind, truth, found, written, pycocotools_stats)


def compressed(segmentation, height, width):
    runs = rle.frPyObjects(segmentation, height, width)
    mask = rle.merge(runs) if isinstance(runs, list) else runs
    return {"size": [height, width], "counts": mask["counts"].decode()}


@pytest.mark.real_data
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_published_results(fixtures, written, pycocotools_stats, kind):
    folder = fixtures / "cocoapi_val2014"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    found = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
    check(kind, truth, found, written, pycocotools_stats)


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
@pytest.mark.parametrize(
    ("which", "change"),
    [
        (found, change)
        for found in ("truth", "found")
        for change in (
            {"image_id": 4}, {"category_id": 3}, {"image_id": None}, {"bbox": None}, {"bbox": [1, 2, 3]},
            {"score": None, "area": None}, {"score": float("nan"), "area": float("inf")},
            {"keypoints": [1, 2, 0] * 14}, {"keypoints": [1, 2, 0] * 16 + [1, 2, float("nan")]},
            {"segmentation": None}, {"segmentation": {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}},
            {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, 1 + WIDTH * HEIGHT]}},
            {"segmentation": {"size": [HEIGHT, WIDTH], "counts": "!"}},
        )
    ],
)  # fmt: skip
def test_what_one_engine_refuses_the_other_never_scores(written, kind, which, change):
    """The quick engine hands on whatever the careful one has something to say about."""
    build = {"bbox": boxes_of, "segm": masks_of, "keypoints": people_of}[kind]
    truth, found = build([(PLACE, 0)], [(PLACE, 0.5), (PLACE, 0.4)])
    if kind != "bbox":
        found = [{**entry, "bbox": PLACE["bbox"]} for entry in found]
    entries = truth["annotations"] if which == "truth" else found
    entries[-1] |= {key: value for key, value in change.items() if key in entries[-1]}
    files = written(found, truth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hotcoco, "hotcoco", None)
        try:
            expected = list(SCORE[kind](*files).values())
        except (BrokenPredictions, BrokenAnnotation) as error:
            expected = type(error)
    if isinstance(expected, list):
        assert hot_stats(TYPE[kind], *files) in (expected, None)
    else:
        assert hot_stats(TYPE[kind], *files) is None
        with pytest.raises(DataError):
            SCORE[kind](*files)
