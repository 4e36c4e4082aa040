from __future__ import annotations

import json
import random

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from transfer.errors import BadOption, BrokenAnnotation, BrokenPredictions, UnknownName
from transfer.metrics.masks import score_instances
from transfer.metrics.parts import score_part
from transfer.metrics.scoring import SCORERS
from transfer.metrics.semantic import score_label_maps

SCORE = {**SCORERS, "segm": score_instances}
"""What the stage `score` calls."""

SIDE = 120
CLASSES = ("sky", "road", "car")


def name_of(image):
    return f"{image:02}.jpg"


def box_around(draw):
    return [draw.uniform(0, 40), draw.uniform(0, 40), draw.uniform(10, 70), draw.uniform(10, 70)]


def mask_of(box):
    x, y, w, h = box
    corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    return {"size": [SIDE, SIDE], "counts": rle.frPyObjects(corners, SIDE, SIDE)[0]["counts"].decode()}


def joints_of(box, shift, flag):
    x, y, w, h = box
    return [value for joint in range(17) for value in (x + w * joint / 16 + shift, y + h * (joint % 5) / 5, flag)]


def sample_set(seed=0, images=8, ties=False, noise=lambda image: 0.1):
    """Truth and results that hold what every kind reads: some objects are found well, twice, badly or not at all.

    `noise` of an image moves its predictions, as a share of their size.
    """
    draw = random.Random(seed)
    objects, found = [], []
    for image in range(1, images + 1):
        for _ in range(draw.randint(1, 4)):
            place = {"image_id": image, "category_id": draw.choice([2, 5])}
            box, rare = box_around(draw), int(draw.random() < 0.15)
            flags = {"iscrowd": rare, "difficult": rare, "num_keypoints": 17, "keypoints": joints_of(box, 0, 2)}
            objects.append(place | flags | {"bbox": box, "segmentation": mask_of(box), "area": box[2] * box[3]})
            for _ in range(draw.choice([0, 1, 1, 2])):
                moved = [
                    value + draw.gauss(0, noise(image)) * side for value, side in zip(box, box[2:] * 2, strict=True)
                ]
                moved[2:] = [max(value, 4) for value in moved[2:]]
                found.append(place | {"bbox": moved})
        found.append({"image_id": image, "category_id": draw.choice([2, 5]), "bbox": box_around(draw)})
    for entry in found:
        entry["score"] = draw.choice([0.2, 0.5, 0.9]) if ties else draw.random()
        entry["segmentation"] = mask_of(entry["bbox"])
        entry["keypoints"] = joints_of(entry["bbox"], draw.gauss(0, 1), 1)
    images = [{"id": n, "file_name": name_of(n), "height": SIDE, "width": SIDE} for n in range(1, images + 1)]
    numbered = [{**entry, "id": number} for number, entry in enumerate(objects, start=1)]
    categories = [{"id": 5, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 9, "name": "absent"}]
    return {"images": images, "categories": categories, "annotations": numbered}, found


def write_maps(folder, pairs):
    """Predictions and truth `<stem>.png` of a dict of label map pairs."""
    for kind, which in (("found", 0), ("truth", 1)):
        (folder / kind).mkdir(parents=True)
        for stem, pair in pairs.items():
            Image.fromarray(pair[which]).save(folder / kind / f"{stem}.png")
    return folder / "found", folder / "truth"


def random_maps(seed=0, images=6):
    """Maps of three classes and of pixels to ignore, half of them predicted at random."""
    draw, pairs = np.random.default_rng(seed), {}
    for number in range(images):
        truth = draw.choice([0, 1, 2, 255], (9, 7)).astype(np.uint8)
        guess = draw.integers(0, 3, truth.shape).astype(np.uint8)
        pairs[f"{number:02}"] = np.where((truth < 255) & (draw.random(truth.shape) < 0.5), truth, guess), truth
    return pairs


PART = {name_of(image) for image in (2, 3, 7)}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("kind", SCORE)
def test_a_part_is_scored_as_files_of_nothing_else(written, kind, ties):
    truth, found = sample_set(ties=ties)
    whole = written(found, truth)
    part, everything = score_part(kind, *whole, PART), score_part(kind, *whole, [name_of(n) for n in range(1, 9)])
    assert everything == SCORE[kind](*whole)
    images = [image for image in truth["images"] if image["id"] in (2, 3, 7)]
    objects, found = ([e for e in entries if e["image_id"] in (2, 3, 7)] for entries in (truth["annotations"], found))
    assert part == SCORE[kind](*written(found, {**truth, "images": images, "annotations": objects})) != everything


def test_a_part_of_label_maps(tmp_path):
    pairs = random_maps()
    part = score_part("miou", *write_maps(tmp_path, pairs), ["04", "01"], classes=CLASSES)
    alone = write_maps(tmp_path / "alone", {stem: pairs[stem] for stem in ("01", "04")})
    assert part == score_label_maps(*alone, stems=["01", "04"], classes=CLASSES)


@pytest.mark.parametrize("kind", SCORE)
def test_a_part_without_images_is_undefined(written, kind):
    files = written(*reversed(sample_set()))
    assert score_part(kind, *files, []) == dict.fromkeys(SCORE[kind](*files), -1.0)


def test_no_label_maps_are_undefined(tmp_path):
    files = write_maps(tmp_path, random_maps())
    whole = score_label_maps(*files, stems=["00"], classes=CLASSES)
    assert score_part("miou", *files, [], classes=CLASSES) == dict.fromkeys(whole, -1.0)


@pytest.mark.parametrize("kind", SCORE)
def test_images_that_the_truth_lacks(written, kind):
    with pytest.raises(BadOption, match=r"its 8 images, got 4 that it lacks: 02.png, a, b, …; nearest .*: 02.jpg"):
        score_part(kind, *written(*reversed(sample_set())), {*PART, "02.png", "a", "b", "c"})


def test_label_maps_that_the_truth_lacks(tmp_path):
    with pytest.raises(BadOption, match=r"got 1 that it lacks: 01.png; nearest to the first: 01"):
        score_part("miou", *write_maps(tmp_path, random_maps()), ["01.png"], classes=CLASSES)


def test_images_need_names(written):
    truth, found = sample_set()
    del truth["images"][1]["file_name"]
    with pytest.raises(BrokenAnnotation, match="file_name of every image, image 2 has none"):
        score_part("bbox", *written(found, truth), PART)


def test_an_unknown_kind():
    with pytest.raises(UnknownName, match="Did you mean bbox"):
        score_part("box", None, None, [])


def test_a_broken_entry_is_that_of_the_whole_file(written):
    truth, found = sample_set()
    last = max(number for number, entry in enumerate(found) if entry["image_id"] == 7)
    found[last]["bbox"] = [1, 2]
    predictions, annotations = written(found, truth)
    with pytest.raises(BrokenPredictions, match=rf"{predictions}: entry {last} has 2 values as bbox"):
        score_part("bbox", predictions, annotations, PART)
    assert json.loads(predictions.read_text()) == found
