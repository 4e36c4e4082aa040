from __future__ import annotations

from pathlib import Path

import pytest

from transfer.datasets.layouts import VOC_CLASSES, Split, locate
from transfer.errors import BadOption, MissingData, UnknownName


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True) if name.endswith("/") else path.touch()


def _coco(root: Path) -> None:
    names = (f"annotations/{kind}_{s}2017.json" for kind in ("instances", "person_keypoints") for s in ("train", "val"))
    _touch(root, *names, "train2017/", "val2017/")


@pytest.mark.parametrize("home", ["coco", "."])
def test_coco_lies_in_its_folder_or_in_the_root(tmp_path: Path, home: str) -> None:
    _coco(tmp_path / home)
    train, test = locate("coco", "keypoints", tmp_path)
    base = tmp_path / home
    assert train == Split(base / "train2017", base / "annotations/person_keypoints_train2017.json")
    assert test == Split(base / "val2017", base / "annotations/person_keypoints_val2017.json")


@pytest.mark.parametrize("home", ["VOCdevkit/VOC2012", "VOC2012"])
def test_voc_lies_with_or_without_its_devkit(tmp_path: Path, home: str) -> None:
    lists = (f"ImageSets/Segmentation/{name}.txt" for name in ("trainaug", "val"))
    _touch(tmp_path / home, "JPEGImages/", "SegmentationClassAug/", *lists)
    train, test = locate("voc2012", "miou", tmp_path)
    assert train.listing == tmp_path / home / "ImageSets/Segmentation/trainaug.txt"
    assert test.annotations == tmp_path / home / "SegmentationClassAug"
    assert train.classes == VOC_CLASSES and len(VOC_CLASSES) == 21


@pytest.mark.parametrize("kind", ["bbox", "keypoints", "miou"])
def test_mini_is_found_from_its_parent_and_from_itself(mini_root: Path, kind: str) -> None:
    assert locate("mini", kind, mini_root) == locate("mini", kind, mini_root.parent)


def test_real_coco_never_passes_for_mini(tmp_path: Path) -> None:
    _coco(tmp_path)
    with pytest.raises(MissingData, match=r"mini\.json"):
        locate("mini", "bbox", tmp_path)


def test_a_missing_file_is_named_with_the_tree_and_the_variable(tmp_path: Path) -> None:
    _coco(tmp_path)
    (tmp_path / "annotations/instances_val2017.json").unlink()
    with pytest.raises(MissingData) as caught:
        locate("coco", "bbox", tmp_path)
    message = str(caught.value)
    assert f"- {tmp_path / 'annotations/instances_val2017.json'}" in message
    assert "instances_train2017.json          instances_val2017.json" in message
    assert "TRANSFER_DATA" in message


@pytest.mark.parametrize("dataset, kind", [("coco", "bbox"), ("mini", "miou"), ("voc2012", "miou")])
def test_a_missing_root_is_missing_data(tmp_path: Path, dataset: str, kind: str) -> None:
    with pytest.raises(MissingData, match="TRANSFER_DATA"):
        locate(dataset, kind, tmp_path / "nowhere")


def test_a_data_set_that_does_not_exist_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean voc2012"):
        locate("voc2021", "miou", tmp_path)
    with pytest.raises(UnknownName, match="Did you mean keypoints"):
        locate("coco", "keypoint", tmp_path)


def test_a_pair_that_does_not_exist_says_who_has_it(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="with 'bbox': coco, coco-mini, mini"):
        locate("voc2012", "bbox", tmp_path)
