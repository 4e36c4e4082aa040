from __future__ import annotations

from pathlib import Path

import pytest

from transfer.datasets.declaration import dataset_names, find_declaration
from transfer.datasets.layouts import Pair, Split, find_home, tree
from transfer.datasets.mini.classes import SEMANTIC_CLASSES
from transfer.datasets.opening import open_splits
from transfer.errors import BadOption, MissingData, UnknownName


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True) if name.endswith("/") else path.touch()


def _coco(root: Path) -> None:
    names = (f"annotations/{kind}_{s}2017.json" for kind in ("instances", "person_keypoints") for s in ("train", "val"))
    _touch(root, *names, "train2017/", "val2017/")


def _open(dataset: str, kind: str, root: Path, work: Path) -> Pair:
    return open_splits(find_declaration(dataset, root), kind, root, work)


@pytest.mark.parametrize("home", ["coco", "."])
def test_coco_lies_in_its_folder_or_in_the_root(tmp_path: Path, home: str) -> None:
    _coco(tmp_path / home)
    train, test = _open("coco", "keypoints", tmp_path, tmp_path / "work")
    base = tmp_path / home
    assert train == Split(base / "train2017", base / "annotations/person_keypoints_train2017.json")
    assert test == Split(base / "val2017", base / "annotations/person_keypoints_val2017.json")


@pytest.mark.parametrize("home", ["VOCdevkit/VOC2012", "VOC2012"])
def test_voc_lies_with_or_without_its_devkit(tmp_path: Path, home: str) -> None:
    lists = (f"ImageSets/Segmentation/{name}.txt" for name in ("trainaug", "val"))
    _touch(tmp_path / home, "JPEGImages/", "SegmentationClassAug/", *lists)
    train, test = _open("voc2012", "label_maps", tmp_path, tmp_path / "work")
    assert train.listing == tmp_path / home / "ImageSets/Segmentation/trainaug.txt"
    assert test.annotations == tmp_path / home / "SegmentationClassAug"
    assert len(train.classes) == 21 and train.classes[0] == "background"


@pytest.mark.parametrize(
    "dataset, classes",
    [("ade20k", 150), ("cityscapes", 19), ("camvid", 11), ("voc2012", 21), ("voc0712", 20), ("bccd", 3)],
)
def test_the_classes_are_as_many_as_published(tmp_path: Path, dataset: str, classes: int) -> None:
    assert len(find_declaration(dataset, tmp_path).classes) == classes


def test_the_classes_of_mini_are_those_that_are_drawn(tmp_path: Path) -> None:
    assert find_declaration("mini", tmp_path).classes == SEMANTIC_CLASSES


@pytest.mark.parametrize("name", dataset_names())
def test_a_data_set_says_how_to_obtain_it_and_its_terms(name: str, tmp_path: Path) -> None:
    declared = find_declaration(name, tmp_path)
    assert declared.title and declared.obtain and declared.licence
    assert all(part.count for part in (*declared.train, *declared.test))


def test_real_coco_never_passes_for_mini(tmp_path: Path) -> None:
    _coco(tmp_path / "mini")
    with pytest.raises(MissingData, match=r"mini\.json"):
        find_home(find_declaration("mini", tmp_path), "boxes", tmp_path)


def test_a_missing_file_is_named_with_the_tree_and_the_variable(tmp_path: Path) -> None:
    _coco(tmp_path)
    (tmp_path / "annotations/instances_val2017.json").unlink()
    with pytest.raises(MissingData) as caught:
        _open("coco", "boxes", tmp_path, tmp_path / "work")
    message = str(caught.value)
    assert f"- {tmp_path / 'annotations/instances_val2017.json'}" in message
    assert f"- {tmp_path / 'annotations/instances_train2017.json'}" not in message
    assert tree(find_declaration("coco", tmp_path)).splitlines()[2].strip() in message
    assert "TRANSFER_DATA" in message and "cocodataset.org" in message


@pytest.mark.parametrize("dataset, kind", [("coco", "boxes"), ("voc0712", "boxes"), ("voc2012", "label_maps")])
def test_a_missing_root_is_missing_data(tmp_path: Path, dataset: str, kind: str) -> None:
    with pytest.raises(MissingData, match="TRANSFER_DATA"):
        _open(dataset, kind, tmp_path / "nowhere", tmp_path / "work")


def test_a_data_set_that_does_not_exist_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean voc2012"):
        find_declaration("voc2021", tmp_path)
    with pytest.raises(UnknownName, match="Did you mean keypoints"):
        _open("coco", "keypoint", tmp_path, tmp_path)


def test_a_pair_that_does_not_exist_says_who_has_it(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"not boxes\. Data sets with boxes: bccd, coco, coco-mini, mini, voc0712"):
        _open("voc2012", "boxes", tmp_path, tmp_path)


def test_the_tree_names_every_path_once(tmp_path: Path) -> None:
    lines = tree(find_declaration("coco", tmp_path)).splitlines()
    assert lines[0] == "coco/   (or the data root itself)"
    assert [line.strip() for line in lines[1:]] == [
        *("annotations/", "instances_train2017.json", "instances_val2017.json"),
        *("person_keypoints_train2017.json", "person_keypoints_val2017.json", "train2017/", "val2017/"),
    ]
