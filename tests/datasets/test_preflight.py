from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfer.datasets import preflight
from transfer.datasets.declaration import find_declaration
from transfer.datasets.images import ImageFacts
from transfer.datasets.layouts import Pair, Split
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import check_split
from transfer.errors import BadOption, BrokenAnnotation, CorruptImage, DataError, MissingData, UnknownName

JOINTS = ["nose", "left_eye"]
Json = dict[str, Any]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Three images, one of which nothing is said about, and one crowd."""
    images = tmp_path / "images"
    images.mkdir()
    for number, suffix in ((1, "jpg"), (2, "png"), (3, "jpg")):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.{suffix}")
    Image.new("RGB", (4, 4)).save(images / "unmentioned.jpg")
    annotations = tmp_path / "annotations.json"
    annotations.write_text(json.dumps(_truth()))
    return Split(images, annotations)


def _truth() -> Json:
    names = ("1.jpg", "2.png", "3.jpg")
    box = {"image_id": 1, "category_id": 7, "iscrowd": 0, "keypoints": [0] * 6, "num_keypoints": 0}
    crowd = {"counts": [0, 600], "size": [20, 30]}
    return {
        "images": [{"id": i, "file_name": name, "width": 30, "height": 20} for i, name in enumerate(names, 1)],
        "annotations": [
            {**box, "id": 1, "bbox": [1.5, 2, 8, 9]},
            {**box, "id": 2, "bbox": [-0.3, 0, 30.7, 20.2]},
            {**box, "id": 3, "image_id": 2, "bbox": [0, 0, 30, 20], "iscrowd": 1, "segmentation": crowd},
        ],
        "categories": [
            {"id": 9, "name": "later", "keypoints": JOINTS},
            {"id": 7, "name": "first", "keypoints": JOINTS},
        ],
    }


def _change(split: Split, edit: Callable[[Json], object]) -> None:
    truth = _truth()
    edit(truth)
    split.annotations.write_text(json.dumps(truth))


def _message(split: Split, kind: str, error: type[DataError]) -> str:
    with pytest.raises(error) as caught:
        check_split(split, kind, None)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["boxes", "keypoints"])
def test_what_coco_holds_passes(split: Split, kind: str) -> None:
    manifest = check_split(split, kind, None)
    assert (manifest.images, manifest.classes, manifest.category_ids) == (3, ("later", "first"), (9, 7))
    assert len(manifest.sha256) == 64


EDITS: Mapping[str, tuple[Callable[[Json], object], str]] = {
    "missing image": (lambda t: t["images"][0].update(file_name="gone.jpg"), "gone.jpg is named"),
    "image without record": (lambda t: t["annotations"][0].update(image_id=99), "annotation 1 names image 99"),
    "duplicate annotation": (lambda t: t["annotations"][1].update(id=1), "annotations: id 1 occurs 2 times"),
    "duplicate image": (lambda t: t["images"][1].update(id=1), "images: id 1 occurs 2 times"),
    "duplicate file": (lambda t: t["images"][1].update(file_name="1.jpg"), "file_name 1.jpg occurs 2 times"),
    "unknown category": (lambda t: t["annotations"][0].update(category_id=8), "category 8, which does not exist"),
    "flat box": (lambda t: t["annotations"][0].update(bbox=[1, 1, 5, 0]), "has no area"),
    "negative box": (lambda t: t["annotations"][0].update(bbox=[9, 1, -5, 3]), "has no area"),
    "box outside": (lambda t: t["annotations"][0].update(bbox=[40, 1, 5, 5]), "reaches outside its image of 30x20"),
    "box of words": (lambda t: t["annotations"][0].update(bbox="1,2,3,4"), "must be four numbers"),
    "box of three": (lambda t: t["annotations"][0].update(bbox=[1, 2, 3]), "must be four numbers"),
    "box of nan": (lambda t: t["annotations"][0].update(bbox=[1, 2, 3, float("nan")]), "must be four numbers"),
    "no image id": (lambda t: t["annotations"][0].pop("image_id"), "annotations[0]: image_id missing"),
    "text id": (lambda t: t["images"][0].update(id="1"), "images[0]: id must be an integer"),
    "no record": (lambda t: t["annotations"].append(7), "annotations[3]: expected an object"),
    "unnamed class": (lambda t: t["categories"][0].update(name=None), "categories[0]: name must be a string"),
    "other size": (lambda t: t["images"][0].update(width=31), "1.jpg is 30x20 pixels, but the json says 31x20"),
    "no images": (lambda t: t.update(images=[], annotations=[]), "no images are listed"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_contradiction_is_named(split: Split, name: str) -> None:
    edit, expected = EDITS[name]
    _change(split, edit)
    assert expected in _message(split, "boxes", BrokenAnnotation)


def test_keypoints_need_their_joints(split: Split) -> None:
    _change(split, lambda t: t["annotations"][0].update(keypoints=[1, 2, 3]))
    assert "annotation 1: keypoints must be 6 numbers" in _message(split, "keypoints", BrokenAnnotation)
    assert check_split(split, "boxes", None).images == 3
    _change(split, lambda t: t["categories"][0].pop("keypoints"))
    assert "category 9 lists no keypoints" in _message(split, "keypoints", BrokenAnnotation)


def test_everything_is_found_in_one_pass(split: Split) -> None:
    _change(split, lambda t: (t["annotations"][0].update(bbox=[1, 1, 0, 0]), t["images"][2].update(file_name="x.jpg")))
    (split.images / "1.jpg").write_bytes(b"")
    message = _message(split, "boxes", BrokenAnnotation)
    assert message.startswith("3 problems")
    assert all(part in message for part in ("has no area", "x.jpg is named", "1.jpg is empty"))


def test_a_long_list_is_cut_and_counted(split: Split) -> None:
    _change(split, lambda t: [t["annotations"].append({**t["annotations"][0], "id": 10 + i}) for i in range(30)])
    _change(split, lambda t: t.update(annotations=[{**t["annotations"][0], "id": i, "image_id": 9} for i in range(25)]))
    message = _message(split, "boxes", BrokenAnnotation)
    assert message.startswith("25 problems") and message.count("\n  - ") == 20 and "… and 5 more like this" in message


def test_a_very_rare_degenerate_box_is_coco(split: Split) -> None:
    def many(truth: Json) -> None:
        truth["annotations"] = [{**truth["annotations"][0], "id": i} for i in range(20000)]
        truth["annotations"][5]["bbox"] = [3, 4, 15.5, 0]

    _change(split, many)
    assert check_split(split, "boxes", None).images == 3


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", '{"images": []}', '{"images": {}, "annotations": [], "categories": []}']
)
def test_a_file_that_is_no_coco_json_is_refused(split: Split, text: str) -> None:
    split.annotations.write_text(text)
    assert str(split.annotations) in _message(split, "boxes", BrokenAnnotation)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    "name, damage, expected",
    [
        ("1.jpg", _truncate, "truncated"),
        ("2.png", _truncate, "truncated"),
        ("1.jpg", lambda path: path.write_bytes(b"<html>not found</html>"), "not an image"),
        ("1.jpg", lambda path: path.write_bytes(b""), "is empty"),
    ],
)
def test_a_damaged_image_is_named(split: Split, name: str, damage: Callable[[Path], object], expected: str) -> None:
    damage(split.images / name)
    message = _message(split, "boxes", CorruptImage)
    assert str(split.images / name) in message and expected in message


def test_bytes_after_the_end_marker_are_no_damage(split: Split) -> None:
    with (split.images / "1.jpg").open("ab") as file:
        file.write(b"\0" * 100)
    assert check_split(split, "boxes", None).images == 3


def test_the_hash_ignores_place_order_and_formatting(split: Split, tmp_path: Path) -> None:
    expected = check_split(split, "boxes", None)
    shutil.copytree(split.images, tmp_path / "elsewhere")
    truth = {key: value[::-1] for key, value in reversed(_truth().items())}
    (tmp_path / "other.json").write_text(json.dumps({"info": {"date": "today"}, **truth}, indent=3))
    found = check_split(Split(tmp_path / "elsewhere", tmp_path / "other.json"), "boxes", None)
    assert (found.images, found.sha256) == (expected.images, expected.sha256)
    assert found.classes == expected.classes[::-1] and found.category_ids == expected.category_ids[::-1]


def test_the_hash_covers_annotations_and_image_bytes(split: Split) -> None:
    hashes = {check_split(split, "boxes", None).sha256}
    _change(split, lambda t: t["annotations"][0].update(bbox=[1.5, 2, 8, 8]))
    hashes.add(check_split(split, "boxes", None).sha256)
    Image.new("RGB", (30, 20)).save(split.images / "3.jpg")
    hashes.add(check_split(split, "boxes", None).sha256)
    assert len(hashes) == 3
    Image.new("RGB", (5, 5)).save(split.images / "unmentioned.jpg")
    assert check_split(split, "boxes", None).sha256 in hashes


def test_a_second_call_reads_only_what_changed(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, read = tmp_path / "cache" / "facts.json", []
    original = preflight.image_facts

    def image_facts(path: Path) -> ImageFacts:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(preflight, "image_facts", image_facts)
    first = check_split(split, "boxes", cache)
    assert sorted(read) == ["1.jpg", "2.png", "3.jpg"]
    read.clear()
    assert check_split(split, "boxes", cache) == first and read == []
    os.utime(split.images / "2.png", ns=(0, 0))
    assert check_split(split, "boxes", cache) == first and read == ["2.png"]


def test_the_cache_never_hides_a_change(split: Split, tmp_path: Path) -> None:
    cache = tmp_path / "facts.json"
    check_split(split, "boxes", cache)
    _truncate(split.images / "1.jpg")
    with pytest.raises(CorruptImage):
        check_split(split, "boxes", cache)
    with pytest.raises(CorruptImage):
        check_split(split, "boxes", cache)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 0, "facts": {}}', '{"version": 3, "facts": 3}']
)
def test_a_damaged_cache_is_replaced(split: Split, tmp_path: Path, text: str) -> None:
    cache = tmp_path / "facts.json"
    cache.write_text(text)
    assert check_split(split, "boxes", cache) == check_split(split, "boxes", None)
    assert json.loads(cache.read_text())["facts"]


def test_unknown_annotations_and_missing_folders(split: Split) -> None:
    with pytest.raises(UnknownName, match=r"there is no type of annotations 'box'\. Did you mean boxes"):
        check_split(split, "box", None)
    with pytest.raises(MissingData, match="nowhere"):
        check_split(replace(split, annotations=split.annotations.with_name("nowhere.json")), "boxes", None)


@pytest.fixture
def maps(split: Split, tmp_path: Path) -> Split:
    folder = tmp_path / "maps"
    folder.mkdir()
    for number, label in ((1, 0), (2, 1), (3, 255)):
        Image.fromarray(np.full((20, 30), label, np.uint8)).save(folder / f"{number}.png")
    return Split(split.images, folder, None, ("background", "thing"))


def test_label_maps_pass_with_and_without_a_listing(maps: Split, tmp_path: Path) -> None:
    assert check_split(maps, "label_maps", None).images == 3
    listing = tmp_path / "list.txt"
    listing.write_text("3\n1\n")
    manifest = check_split(replace(maps, listing=listing), "label_maps", None)
    assert (manifest.images, manifest.classes) == (2, ("background", "thing"))


@pytest.mark.parametrize(
    "pixels, expected",
    [
        (np.full((20, 30), 2, np.uint8), "2.png holds the values 2; expected 0 to 1 (2 classes) or 255"),
        (np.zeros((20, 31), np.uint8), "2.png is 31x20 pixels, but its image is 30x20"),
    ],
)
def test_a_wrong_label_map_is_named(maps: Split, pixels: Any, expected: str) -> None:
    Image.fromarray(pixels).save(maps.annotations / "2.png")
    assert expected in _message(maps, "label_maps", BrokenAnnotation)


def test_a_coloured_label_map_is_named(maps: Split) -> None:
    Image.new("RGB", (30, 20)).save(maps.annotations / "2.png")
    assert "one channel" in _message(maps, "label_maps", CorruptImage)


def test_a_palette_label_map_is_read_by_index(maps: Split) -> None:
    image = Image.fromarray(np.ones((20, 30), np.uint8))
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.save(maps.annotations / "2.png")
    assert check_split(maps, "label_maps", None).images == 3


def test_a_label_map_without_image_or_listed_twice_is_named(maps: Split, tmp_path: Path) -> None:
    (maps.images / "2.png").unlink()
    assert "2.jpg is named by the annotations" in _message(maps, "label_maps", BrokenAnnotation)
    listing = tmp_path / "list.txt"
    listing.write_text("1\n1\n")
    assert "lists 1 more than once" in _message(replace(maps, listing=listing), "label_maps", BrokenAnnotation)


def test_label_maps_need_class_names(maps: Split) -> None:
    with pytest.raises(BadOption, match="class names"):
        check_split(replace(maps, classes=()), "label_maps", None)


def _open(dataset: str, kind: str, root: Path, work: Path) -> Pair:
    return open_splits(find_declaration(dataset, root), kind, root, work)


@pytest.mark.parametrize("kind", ["boxes", "masks", "keypoints", "label_maps"])
def test_mini_passes(mini_root: Path, kind: str, tmp_path: Path) -> None:
    splits = _open("mini", kind, tmp_path, mini_root.parent)
    train, test = (check_split(split, kind, tmp_path / "facts.json") for split in splits)
    assert (train.images, test.images) == (160, 64)
    assert train.classes == test.classes and train.sha256 != test.sha256


NOTICED: Mapping[tuple[str, str], tuple[int, int, int]] = {
    ("coco-mini", "boxes"): (80, 79, 739 + 624),
    ("coco-mini", "masks"): (80, 79, 739 + 624),
    ("coco-mini", "keypoints"): (80, 79, 172 + 118),
    ("bccd", "boxes"): (292, 72, 4155 + 372 + 361),
    ("camvid", "label_maps"): (48, 24, 468 + 230),
}
"""Images to train on, to test on, and annotations (for label maps: images of each class) of the real sets."""


@pytest.mark.real_data
@pytest.mark.parametrize("dataset, kind", NOTICED)
def test_real_data_pass_with_the_counts_of_their_notices(
    shared_data: Path, tmp_path: Path, dataset: str, kind: str
) -> None:
    train, test = (check_split(split, kind) for split in _open(dataset, kind, shared_data, tmp_path))
    assert (train.images, test.images, sum(train.counts) + sum(test.counts)) == NOTICED[dataset, kind]
    assert train.classes == test.classes and train.sha256 != test.sha256


def test_all_bad_masks_are_listed_in_one_pass(split: Split) -> None:
    def spoil(truth: Json) -> None:
        truth["annotations"][0]["segmentation"] = [[1, 2, 3, 4]]
        truth["annotations"][2]["segmentation"] = {"counts": [0, 600], "size": [30, 20]}

    _change(split, spoil)
    message = _message(split, "masks", BrokenAnnotation)
    assert "annotation 1: segmentation holds a polygon" in message
    assert "annotation 2: segmentation must be polygons" in message
    assert "annotation 3: segmentation has size [30, 20], its image [20, 30]" in message


def test_voc_boxes_say_whether_they_are_difficult(split: Split) -> None:
    def mark(truth: Json, values: tuple[int | None, ...] = (0, 1, 2)) -> None:
        for entry, value in zip(truth["annotations"], values, strict=True):
            entry["difficult"] = value

    _change(split, mark)
    assert "annotation 3: difficult must be 0 or 1, found 2" in _message(split, "boxes", BrokenAnnotation)
    _change(split, lambda truth: mark(truth, (1, 1, 1)))
    assert check_split(split, "boxes", None, ("difficult",)).images == 3


def test_a_field_that_a_metric_needs(split: Split) -> None:
    assert check_split(split, "boxes").images == 3
    with pytest.raises(BrokenAnnotation, match="annotation 1: difficult must be 0 or 1, found None"):
        check_split(split, "boxes", None, ("difficult",))
