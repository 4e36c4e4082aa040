"""Checked splits: what the manifest says, which labels belong together, and what a damaged file is called."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfer.datasets import preflight
from transfer.datasets.layouts import Split
from transfer.datasets.manifest import Manifest
from transfer.datasets.preflight import also_in_train, check_split, check_splits, stems_of
from transfer.errors import BadOption, BrokenAnnotation, CorruptImage, DataError, MissingData

CLASSES = ("sky", "car", "tree")
BOXES, MAPS = "boxes", "label_maps"


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def picture(path: Path, colour: int, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 0, 0)).save(path)


def label_map(path: Path, *values: int, shape: tuple[int, int] = (4, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(values, np.uint8), shape)).save(path)


@pytest.fixture
def maps(tmp_path: Path) -> Split:
    """Three images with label maps: sky; sky, tree and nothing; tree."""
    for number, values in enumerate(((0,), (0, 2, 255), (2,))):
        picture(tmp_path / f"images/{number}.{'jpg' if number else 'png'}", number)
        label_map(tmp_path / f"maps/{number}.png", *values)
    return Split(tmp_path / "images", tmp_path / "maps", None, CLASSES)


@pytest.fixture
def boxes(tmp_path: Path) -> Split:
    picture(tmp_path / "train/a.jpg", 1)
    picture(tmp_path / "train/b.jpg", 2)
    return write_boxes(tmp_path / "train")


def write_boxes(folder: Path, **changes: Any) -> Split:
    names = sorted(path.name for path in folder.glob("*.jpg"))
    data = {
        "images": [{"id": n, "file_name": name, "width": 6, "height": 4} for n, name in enumerate(names)],
        "annotations": [{"id": n, "image_id": n, "category_id": 5, "bbox": [0, 0, 2, 2]} for n in range(len(names))],
        "categories": [{"id": 5, "name": "cat"}, {"id": 3, "name": "dog"}],
        **changes,
    }
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(data))
    return Split(folder, path)


def refusal(split: Split, kind: str, error: type[DataError] = BrokenAnnotation) -> list[str]:
    with pytest.raises(DataError) as caught:
        check_split(split, kind)
    assert type(caught.value) is error, caught.value
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()]


def test_the_manifest_of_label_maps(maps: Split) -> None:
    manifest = check_split(maps, MAPS)
    assert (manifest.images, manifest.classes, manifest.category_ids, manifest.counts) == (3, CLASSES, (), (2, 0, 2))
    assert manifest.hashes == {path.name: sha(path) for path in maps.images.iterdir()}
    contents = [
        (f"{folder.name}/{path.stem}", sha(path))
        for folder in (maps.images, maps.annotations)
        for path in folder.iterdir()
    ]
    text = json.dumps(["", sorted(contents), CLASSES], separators=(",", ":"))
    assert manifest.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_manifest_of_boxes(boxes: Split) -> None:
    manifest = check_split(boxes, BOXES)
    assert (manifest.images, manifest.classes, manifest.category_ids, manifest.counts) == (
        2,
        ("cat", "dog"),
        (5, 3),
        (2, 0),
    )
    assert manifest.hashes == {name: sha(boxes.images / name) for name in ("a.jpg", "b.jpg")}


def test_a_remembered_manifest_is_the_same(boxes: Split, maps: Split, tmp_path: Path) -> None:
    for split, kind in ((boxes, BOXES), (maps, MAPS)):
        first, again = (check_split(split, kind, tmp_path / "facts.json") for _ in range(2))
        assert first == again == check_split(split, kind) and first.hashes == again.hashes


def test_what_was_wrong_is_told_again_although_files_are_remembered(boxes: Split, tmp_path: Path) -> None:
    split = write_boxes(boxes.images, annotations=[{"id": 1, "image_id": 9, "category_id": 5, "bbox": [0, 0, 1, 1]}])
    for _ in range(2):
        with pytest.raises(BrokenAnnotation, match="names image 9"):
            check_split(split, BOXES, tmp_path / "facts.json")


def test_facts_of_images_are_remembered_where_a_check_fails(boxes: Split, tmp_path: Path) -> None:
    (boxes.images / "b.jpg").write_bytes(b"")
    with pytest.raises(CorruptImage):
        check_split(boxes, BOXES, tmp_path / "facts.json")
    assert any("a.jpg" in key for key in json.loads((tmp_path / "facts.json").read_text())["facts"])


def test_classes_are_part_of_the_hash_of_label_maps(maps: Split) -> None:
    renamed = replace(maps, classes=("sky", "car", "bush"))
    assert check_split(maps, MAPS).sha256 != check_split(renamed, MAPS).sha256


@pytest.mark.parametrize(("value", "sound"), [(0, True), (2, True), (3, False), (254, False), (255, True)])
def test_values_of_label_maps_are_classes_or_void(maps: Split, value: int, sound: bool) -> None:
    label_map(maps.annotations / "1.png", 0, value)
    if sound:
        assert check_split(maps, MAPS).images == 3
    else:
        expected = f"1.png holds the values {value}; expected 0 to 2 (3 classes) or 255 (ignored)"
        assert refusal(maps, MAPS)[1] == expected


def test_all_wrong_values_are_named(maps: Split) -> None:
    label_map(maps.annotations / "1.png", 9, 0, 7)
    assert refusal(maps, MAPS)[1].startswith("1.png holds the values 7, 9; expected")


def test_sizes_are_compared(maps: Split, boxes: Split) -> None:
    label_map(maps.annotations / "1.png", 0, shape=(5, 6))
    assert refusal(maps, MAPS)[1:-1] == ["1.png is 6x5 pixels, but its image is 6x4"]
    picture(boxes.images / "a.jpg", 1, (6, 5))
    assert refusal(boxes, BOXES)[1:-1] == ["a.jpg is 6x5 pixels, but the json says 6x4"]


def test_faults_of_maps_and_of_images_are_told_apart(maps: Split) -> None:
    (maps.images / "1.jpg").write_bytes(b"")
    assert refusal(maps, MAPS, CorruptImage)[1:-1] == [f"{maps.images / '1.jpg'} is empty."]
    (maps.annotations / "2.png").write_bytes(b"")
    assert refusal(maps, MAPS, CorruptImage)[1:-1] == [
        f"{maps.annotations / '2.png'} is empty.",
        f"{maps.images / '1.jpg'} is empty.",
    ]


def test_a_missing_image_is_counted_as_missing(boxes: Split) -> None:
    (boxes.images / "b.jpg").unlink()
    first, line, *_ = refusal(boxes, BOXES)
    assert first == f"1 problem in the data of {boxes.annotations} (half-downloaded? 1 files are missing)"
    assert line == f"{boxes.images / 'b.jpg'} is named by the annotations but does not exist"


def test_a_folder_in_place_of_an_image_cannot_be_read(boxes: Split) -> None:
    (boxes.images / "b.jpg").unlink()
    (boxes.images / "b.jpg").mkdir()
    assert refusal(boxes, BOXES, CorruptImage)[1] == f"{boxes.images / 'b.jpg'} cannot be read: Is a directory"


def test_nothing_listed_is_a_problem(maps: Split, boxes: Split, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(" \n\n")
    assert refusal(replace(maps, listing=tmp_path / "list.txt"), MAPS)[1] == "no label maps (*.png) are listed"
    assert refusal(write_boxes(boxes.images, images=[], annotations=[]), BOXES)[1] == "no images are listed"
    malformed = refusal(write_boxes(boxes.images, images=[3], annotations=[]), BOXES)
    assert malformed[1:-1] == ["images[0]: expected an object, found int"]


def test_stems_are_those_of_the_list_or_of_the_folder_in_order(maps: Split, tmp_path: Path) -> None:
    (maps.annotations / "notes.txt").touch()
    assert stems_of(maps) == ["0", "1", "2"]
    (tmp_path / "list.txt").write_text("2\n\n 0 \n")
    assert stems_of(replace(maps, listing=tmp_path / "list.txt")) == ["2", "0"]


def test_stems_listed_twice_are_named_at_most_twenty(maps: Split, tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(["once", *2 * [f"s{number:02}" for number in range(22)]]))
    with pytest.raises(BrokenAnnotation) as caught:
        stems_of(replace(maps, listing=listing))
    names = ", ".join(f"s{number:02}" for number in range(20))
    assert str(caught.value) == f"{listing} lists {names} more than once."


def test_what_does_not_exist_is_named(maps: Split) -> None:
    for change in ({"images": maps.images / "gone"}, {"annotations": maps.images / "gone"}):
        with pytest.raises(MissingData, match=rf"^{maps.images / 'gone'} does not exist\. TRANSFER_DATA"):
            check_split(replace(maps, **change), MAPS)
    with pytest.raises(BadOption, match=r"need the class names of their values"):
        check_split(replace(maps, classes=()), MAPS)


def test_labels_must_mean_the_same_in_both_splits(boxes: Split, tmp_path: Path) -> None:
    picture(tmp_path / "test/c.jpg", 3)
    good = write_boxes(tmp_path / "test")
    assert [manifest.images for manifest in check_splits(boxes, good, BOXES)] == [2, 1]
    for categories, difference in (
        ([{"id": 5, "name": "cat"}, {"id": 3, "name": "cow"}], "(('dog', 3), ('cow', 3))"),
        ([{"id": 5, "name": "cat"}, {"id": 4, "name": "dog"}], "(('dog', 3), ('dog', 4))"),
        ([{"id": 3, "name": "dog"}, {"id": 5, "name": "cat"}], "(('cat', 5), ('dog', 3))"),
        ([{"id": 5, "name": "cat"}], "their number"),
    ):
        with pytest.raises(BrokenAnnotation) as caught:
            check_splits(boxes, write_boxes(tmp_path / "test", categories=categories), BOXES)
        text = str(caught.value)
        assert text.startswith(f"{boxes.annotations} and {tmp_path / 'test.json'} do not declare the same categories")
        assert text.endswith(f"First difference: {difference}.")


def test_label_maps_of_other_classes_are_refused(maps: Split) -> None:
    assert len(check_splits(maps, maps, MAPS)) == 2
    with pytest.raises(BrokenAnnotation, match=r"First difference: \(\('tree', None\), \('bush', None\)\)\."):
        check_splits(maps, replace(maps, classes=("sky", "car", "bush")), MAPS)


def test_images_of_test_that_are_images_of_train() -> None:
    train = Manifest(2, "", (), hashes={"a": "1", "b": "2"})
    assert also_in_train(train, Manifest(3, "", (), hashes={"z": "2", "c": "1", "a": "3"})) == ["c", "z"]


def test_annotations_are_read_once_for_a_purpose_until_they_change(
    boxes: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, original, read = tmp_path / "facts.json", preflight.read_annotations, []

    def read_annotations(path: Path, needed: Any) -> Any:
        read.append(path)
        return original(path, needed)

    monkeypatch.setattr(preflight, "read_annotations", read_annotations)
    picture(tmp_path / "test/c.jpg", 3)
    test = write_boxes(tmp_path / "test")
    first = check_splits(boxes, test, BOXES, cache)
    assert read == [boxes.annotations, test.annotations]
    assert check_splits(boxes, test, BOXES, cache) == first and len(read) == 2
    os.utime(test.annotations, ns=(10**9, 10**9))
    assert check_splits(boxes, test, BOXES, cache) == first and read[2:] == [test.annotations]
