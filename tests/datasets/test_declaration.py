"""A data set of the user's: a short TOML, and what is said when it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer.datasets.declaration import dataset_names, find_declaration, load_declaration
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import check_split
from transfer.errors import BadOption, BrokenAnnotation

MASKS = """
layout = "masks"
classes = ["street", "house"]
[train]
images = "photos/train"
annotations = "masks/train"
[test]
images = "photos/test"
annotations = "masks/test"
"""


def _write(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ('layout = "masks"', "layout = ", "not valid TOML"),
        ('layout = "masks"', 'layout = "yolo"', "layout must be one of coco, voc-xml, masks, found 'yolo'"),
        ('layout = "masks"', 'layout = "masks"\nclases = []', "no key 'clases'; did you mean classes"),
        ('["street", "house"]', '["street", "street"]', "holds a name twice"),
        ('["street", "house"]', '"street"', "classes must be a list, found 'street'"),
        ('["street", "house"]', "[1, 2]", "classes must be strings"),
        ('classes = ["street", "house"]', "", "classes are missing"),
        ('layout = "masks"', 'layout = "masks"\nvalues = [1]', "one label value per class: 2"),
        ('layout = "masks"', 'layout = "masks"\nvalues = [1, 1]', "occurs twice"),
        ('layout = "masks"', 'layout = "masks"\nignore = [256]', "integers from 0 to 255"),
        ('annotations = "masks/test"', "", "[test] has no annotations"),
        (
            'annotations = "masks/test"',
            'annotations = { box = "x" }',
            "expected boxes, masks, keypoints, label_maps, found 'box'",
        ),
        (
            'annotations = "masks/test"',
            'annotations = { bbox = "x", voc = "y" }',
            "bbox and voc both mean boxes; name one file, as boxes",
        ),
        ('annotations = "masks/test"', "annotations = 7", "annotations must be a path"),
        ('annotations = "masks/test"', 'annotations = { bbox = "x" }', "no type of annotations in common"),
        (
            'images = "photos/test"',
            'images = "photos/test"\nlists = "a"',
            "[test] there is no key 'lists'; did you mean",
        ),
        ("[test]", "[val]", "there is no key 'val'"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in MASKS
    path = _write(tmp_path, MASKS.replace(old, new))
    with pytest.raises(BadOption) as caught:
        load_declaration(path)
    assert str(path) in str(caught.value) and expected in str(caught.value)


def _masks(root: Path, values: dict[str, list[int]]) -> None:
    for split, numbers in values.items():
        for folder in ("photos", "masks"):
            (root / folder / split).mkdir(parents=True)
        for number, value in enumerate(numbers):
            Image.new("RGB", (6, 4), (number, value, 9)).save(root / "photos" / split / f"{number}.jpg")
            Image.fromarray(np.full((4, 6), value, np.uint8)).save(root / "masks" / split / f"{number}.png")


def test_masks_of_the_user_are_found_beside_their_declaration(tmp_path: Path) -> None:
    _masks(tmp_path, {"train": [0, 1, 255], "test": [1]})
    path = _write(tmp_path, MASKS)
    assert "mine" in dataset_names(tmp_path)
    by_name, by_path = find_declaration("mine", tmp_path), find_declaration(str(path), tmp_path / "elsewhere")
    assert by_name == by_path and by_name.annotations == ("label_maps",)
    train, test = (
        check_split(s, "label_maps") for s in open_splits(by_path, "label_maps", tmp_path / "elsewhere", tmp_path)
    )
    assert (train.images, train.counts, test.counts) == (3, (1, 1), (0, 1))


def test_one_of_ours_is_not_replaced_by_a_file_of_its_name(tmp_path: Path) -> None:
    _write(tmp_path, MASKS, "coco")
    assert find_declaration("coco", tmp_path).title == "COCO 2017"


def test_a_coco_json_of_the_user_restricted_by_a_list(tmp_path: Path) -> None:
    truth = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 6, "height": 4} for n in range(1, 5)],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 2, 2]} for n in range(1, 5)],
        "categories": [{"id": 1, "name": "thing"}, {"id": 2, "name": "never"}],
    }
    (tmp_path / "all.json").write_text(json.dumps(truth))
    for n in range(1, 5):
        Image.new("RGB", (6, 4), (n, n, n)).save(tmp_path / f"{n}.jpg")
    part = '[{}]\nimages = "."\nannotations = "all.json"\n'
    path = _write(tmp_path, 'layout = "coco"\n' + part.format("train") + part.format("test") + 'list = "minival.txt"\n')
    (tmp_path / "minival.txt").write_text("3\n1.jpg\n2\n")
    _, test = open_splits(load_declaration(path, tmp_path), "boxes", tmp_path, tmp_path / "work")
    manifest = check_split(test, "boxes")
    assert (manifest.images, manifest.classes, manifest.counts) == (3, ("thing", "never"), (3, 0))
    assert manifest.hashes.keys() == {"1.jpg", "2.jpg", "3.jpg"}
    (tmp_path / "minival.txt").write_text("3\n7\n9.jpg\n")
    _, test = open_splits(load_declaration(path, tmp_path), "boxes", tmp_path, tmp_path / "work")
    with pytest.raises(BrokenAnnotation, match=r"(?s)2 problems.*lists 7.*lists 9\.jpg"):
        check_split(test, "boxes")
