"""Annotations of other forms, converted: what comes out, what is listed, and that the originals stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer.datasets.declaration import find_declaration
from transfer.datasets.layouts import Pair
from transfer.datasets.masks import flat
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import check_split, check_splits
from transfer.datasets.report import check_dataset
from transfer.errors import BrokenAnnotation

XML = """<annotation><filename>wrong name.png</filename><size><width>6</width><height>4</height></size>
<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{xmin}</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>"""


def _open(dataset: str, kind: str, root: Path, work: Path) -> Pair:
    return open_splits(find_declaration(dataset, root), kind, root, work)


def _picture(path: Path, colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (colour, colour, colour)).save(path)


def _mask(path: Path, values: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(values, np.uint8), (4, 6))).save(path)


def _values(path: Path) -> list[int]:
    with Image.open(path) as image:
        assert image.mode == "L"
        return sorted(set(np.asarray(image).ravel().tolist()))


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """07+12 with one image to a list; the second one of 2012 is difficult."""
    root = tmp_path / "VOCdevkit"
    lists = {("2007", "trainval"): ["000001"], ("2012", "trainval"): ["2008_000001", "2008_000002"]}
    for (year, part), stems in {**lists, ("2007", "test"): ["000002"]}.items():
        base = root / f"VOC{year}"
        for folder in ("Annotations", "ImageSets/Main"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        (base / f"ImageSets/Main/{part}.txt").write_text("\n".join(stems))
        for stem in stems:
            _picture(base / f"JPEGImages/{stem}.jpg", 20 * int(stem[-3:]) + int(year[-1]))
            text = XML.format(name="cat", difficult=int(stem == "2008_000002"), xmin=1)
            (base / f"Annotations/{stem}.xml").write_text(text)
    return tmp_path


def test_two_years_of_voc_are_one_training_set(voc: Path, tmp_path: Path) -> None:
    train, test = _open("voc0712", "boxes", voc, tmp_path / "work")
    in_train, in_test = check_splits(train, test, "boxes")
    assert (in_train.images, in_test.images, len(in_train.classes)) == (3, 1, 20)
    truth = json.loads(train.annotations.read_text(encoding="utf-8"))
    assert [image["file_name"] for image in truth["images"]] == [
        "VOC2007/JPEGImages/000001.jpg",
        "VOC2012/JPEGImages/2008_000001.jpg",
        "VOC2012/JPEGImages/2008_000002.jpg",
    ]
    assert [entry["difficult"] for entry in truth["annotations"]] == [0, 0, 1]
    assert truth["annotations"][0]["bbox"] == [0, 0, 4, 4]


def test_all_that_is_wrong_with_both_splits_of_voc_is_one_error(voc: Path, tmp_path: Path) -> None:
    base = voc / "VOCdevkit/VOC2012"
    (base / "Annotations/2008_000001.xml").write_text(XML.format(name="unicorn", difficult=0, xmin=1))
    (base / "Annotations/2008_000002.xml").write_text(XML.format(name="cat", difficult=0, xmin=5))
    (base / "JPEGImages/2008_000002.jpg").unlink()
    (base / "ImageSets/Main/trainval.txt").write_text("2008_000001\n2008_000002\n2008_000003\n2008_000001\n")
    (voc / "VOCdevkit/VOC2007/Annotations/000002.xml").unlink()
    splits = _open("voc0712", "boxes", voc, tmp_path / "work")
    with pytest.raises(BrokenAnnotation) as caught:
        check_splits(*splits, "boxes")
    message = str(caught.value)
    for expected in (
        *("class 'unicorn' is not one of", "2008_000001.jpg is listed more than once", "has no area"),
        *("2008_000003.xml is listed but does not exist", "000002.xml is listed but does not exist"),
        *("2008_000002.jpg is named by the annotations but does not exist", "half-downloaded? 1 files are missing"),
    ):
        assert expected in message, message


def test_a_repaired_file_is_converted_anew(voc: Path, tmp_path: Path) -> None:
    path = voc / "VOCdevkit/VOC2007/Annotations/000001.xml"
    good = path.read_text()
    path.write_text("<annotation>")
    with pytest.raises(BrokenAnnotation, match="no element found"):
        check_split(_open("voc0712", "boxes", voc, tmp_path / "work")[0], "boxes")
    path.write_text(good)
    assert check_split(_open("voc0712", "boxes", voc, tmp_path / "work")[0], "boxes").images == 3


def _tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    """One image to train on and one to test on; road 7 and sky 23 count, 3 does not."""
    for split, city in (("train", "aachen"), ("val", "ulm")):
        name = f"{city}/{city}_000000_000019"
        _picture(tmp_path / f"cityscapes/leftImg8bit/{split}/{name}_leftImg8bit.png", len(city))
        _mask(tmp_path / f"cityscapes/gtFine/{split}/{name}_gtFine_labelIds.png", [7, 3, 23])
        _mask(tmp_path / f"cityscapes/gtFine/{split}/{name}_gtFine_instanceIds.png", [99])
    return tmp_path


def test_cityscapes_gets_its_train_ids_and_one_folder(cityscapes: Path, tmp_path: Path) -> None:
    before = _tree(cityscapes / "cityscapes")
    train, test = _open("cityscapes", "label_maps", cityscapes, tmp_path / "work")
    assert [path.name for path in train.annotations.iterdir()] == ["aachen_000000_000019.png"]
    assert _values(train.annotations / "aachen_000000_000019.png") == [0, 10, 255]
    manifests = check_splits(train, test, "label_maps")
    assert [manifest.images for manifest in manifests] == [1, 1]
    assert sum(manifests[0].counts) == manifests[0].counts[0] + manifests[0].counts[10] == 2
    assert _tree(cityscapes / "cityscapes") == before


def test_what_was_derived_is_not_derived_again(cityscapes: Path, tmp_path: Path) -> None:
    first = _open("cityscapes", "label_maps", cityscapes, tmp_path / "work")
    written = {path: path.lstat().st_mtime_ns for path in (tmp_path / "work").rglob("*")}
    assert _open("cityscapes", "label_maps", cityscapes, tmp_path / "work") == first
    assert {path: path.lstat().st_mtime_ns for path in (tmp_path / "work").rglob("*")} == written


def test_the_hash_of_derived_masks_does_not_depend_on_their_encoder(cityscapes: Path, tmp_path: Path) -> None:
    train, _ = _open("cityscapes", "label_maps", cityscapes, tmp_path / "work")
    expected = check_split(train, "label_maps").sha256
    path = train.annotations / "aachen_000000_000019.png"
    with Image.open(path) as image:
        pixels = np.array(image)
    before = path.read_bytes()
    Image.fromarray(pixels).save(path, compress_level=0)
    assert path.read_bytes() != before and check_split(train, "label_maps").sha256 == expected
    Image.fromarray(pixels[:, ::-1]).save(path)
    assert check_split(train, "label_maps").sha256 != expected


def test_ade20k_begins_at_one_and_ignores_zero(tmp_path: Path) -> None:
    base = tmp_path / "ADEChallengeData2016"
    for split in ("training", "validation"):
        _picture(base / f"images/{split}/ADE_1.jpg", len(split))
        _mask(base / f"annotations/{split}/ADE_1.png", [0, 1, 150])
    train, test = _open("ade20k", "label_maps", tmp_path, tmp_path / "work")
    assert _values(train.annotations / "ADE_1.png") == [0, 149, 255]
    assert [manifest.images for manifest in check_splits(train, test, "label_maps")] == [1, 1]


def test_all_that_is_wrong_with_masks_is_one_error(tmp_path: Path) -> None:
    base = tmp_path / "ADEChallengeData2016"
    for split in ("training", "validation"):
        for number in range(4):
            _picture(base / f"images/{split}/{number}.jpg", 10 * number)
            _mask(base / f"annotations/{split}/{number}.png", [1])
    _mask(base / "annotations/training/0.png", [151, 2])
    Image.new("RGB", (6, 4)).save(base / "annotations/training/1.png")
    (base / "annotations/training/2.png").write_bytes(b"<html>")
    (base / "annotations/training/3.png").unlink()
    (base / "images/validation/1.jpg").unlink()
    splits = _open("ade20k", "label_maps", tmp_path, tmp_path / "work")
    with pytest.raises(BrokenAnnotation) as caught:
        check_splits(*splits, "label_maps")
    for expected in (
        *("training/0.png holds the unknown values 151", "training/1.png: a mask has one channel"),
        *("training/2.png cannot be decoded", "training/3.jpg has no mask", "1.jpg is named by the annotations"),
    ):
        assert expected in str(caught.value)
    _picture(base / "images/validation/1.jpg", 10)
    _, test = _open("ade20k", "label_maps", tmp_path, tmp_path / "work")
    assert check_split(test, "label_maps").images == 4


def test_camvid_ignores_its_twelfth_value(shared_data: Path, tmp_path: Path) -> None:
    train, _ = _open("camvid", "label_maps", shared_data, tmp_path)
    source = shared_data / "camvid_subset/trainannot"
    for path in sorted(source.glob("*.png"))[:5]:
        with Image.open(path) as image, Image.open(train.annotations / path.name) as derived:
            before, after = np.asarray(image), np.asarray(derived)
        assert np.array_equal(after, np.where(before == 11, 255, before))


@pytest.mark.parametrize("name, expected", [("a", "a"), ("ulm/ulm_1", "ulm_1"), ("x/1", "x__1"), ("y/1", "y__1")])
def test_folders_that_tell_files_apart_stay_in_the_name(name: str, expected: str) -> None:
    assert flat(name) == expected


def test_an_image_of_train_in_test_is_noted(voc: Path, tmp_path: Path) -> None:
    declared = find_declaration("voc0712", voc)
    notes = check_dataset(declared, ("boxes",), voc, tmp_path / "work")["boxes"]["notes"]
    assert not any("same bytes" in note for note in notes)
    assert any("train has 3 images, the published data set 16,551" in note for note in notes)
    base = voc / "VOCdevkit/VOC2007/JPEGImages"
    (base / "000002.jpg").write_bytes((base / "000001.jpg").read_bytes())
    notes = check_dataset(declared, ("boxes",), voc, tmp_path / "work")["boxes"]["notes"]
    assert "1 images of test have the same bytes as one of train: VOC2007/JPEGImages/000002.jpg" in notes
