"""VOC's XML: each fault is told with its file, and the rest of the file still counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transfer.datasets.voc_xml import coco_of_voc

SIZE = "<size><width>20</width><height>10</height></size>"
BOX = "<bndbox><xmin>2.5</xmin><ymin>2</ymin><xmax>10</xmax><ymax>4</ymax></bndbox>"
CAT = f"<object><name> cat\n</name>{BOX}</object>"


def convert(folder: Path, content: str) -> tuple[dict[str, Any], list[str]]:
    path = folder / "a.xml"
    path.write_text(f"<annotation>{content}</annotation>")
    truth, problems = coco_of_voc([(path, "a.jpg")], ["dog", "cat"])
    return truth, [problem.text.replace(str(folder), "") for problem in problems]


def test_classes_are_numbered_from_one_as_listed(tmp_path: Path) -> None:
    truth, _ = convert(tmp_path, SIZE)
    assert truth["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    assert truth["images"] == [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10}] and not truth["annotations"]


def test_fractions_and_spaces(tmp_path: Path) -> None:
    truth, problems = convert(tmp_path, SIZE + CAT)
    (entry,) = truth["annotations"]
    assert problems == [] and (entry["bbox"], entry["area"], entry["category_id"]) == ([1.5, 1, 8.5, 3], 25.5, 2)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (SIZE.replace("<width>20</width>", ""), "<annotation> has no size/width"),
        (SIZE.replace("10", " "), "<annotation> has no size/height"),
        (SIZE.replace("10", "ten"), "invalid literal for int() with base 10: 'ten'"),
    ],
)
def test_an_image_without_a_size_is_left_out(tmp_path: Path, content: str, fault: str) -> None:
    truth, problems = convert(tmp_path, content + CAT)
    assert problems == [f"/a.xml: {fault}"] and not truth["images"] and not truth["annotations"]


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (f"<object>{BOX}</object>", "<object> has no name"),
        (CAT.replace("cat", "cow"), "class 'cow' is not one of dog, cat"),
        (CAT.replace("<ymax>4</ymax>", ""), "<object> has no bndbox/ymax"),
        (CAT.replace("<xmin>2.5</xmin>", "<xmin>left</xmin>"), "could not convert string to float: 'left'"),
        (CAT.replace("</name>", "</name><difficult>x</difficult>"), "invalid literal for int() with base 10: 'x'"),
    ],
)
def test_a_broken_object_leaves_the_others(tmp_path: Path, broken: str, fault: str) -> None:
    truth, problems = convert(tmp_path, SIZE + CAT + broken + CAT)
    assert problems == [f"/a.xml: {fault}"]
    assert [(entry["id"], entry["image_id"]) for entry in truth["annotations"]] == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("text", "value"), [("", 0), ("<difficult/>", 0), ("<difficult>0</difficult>", 0), ("<difficult>1</difficult>", 1)]
)
def test_what_does_not_say_that_it_is_difficult_is_not(tmp_path: Path, text: str, value: int) -> None:
    truth, _ = convert(tmp_path, SIZE + CAT.replace("</name>", f"</name>{text}"))
    assert truth["annotations"][0]["difficult"] == value and truth["annotations"][0]["iscrowd"] == 0


def test_ids_follow_the_names_of_the_images(tmp_path: Path) -> None:
    for stem in "abc":
        (tmp_path / f"{stem}.xml").write_text(f"<annotation>{SIZE}{CAT}{CAT}</annotation>")
    (tmp_path / "b.xml").write_text("<annotation>")
    truth, problems = coco_of_voc([(tmp_path / f"{stem}.xml", f"{stem}.jpg") for stem in "cab"], ["cat"])
    assert [(image["id"], image["file_name"]) for image in truth["images"]] == [(1, "a.jpg"), (3, "c.jpg")]
    assert [(entry["id"], entry["image_id"]) for entry in truth["annotations"]] == [(1, 1), (2, 1), (3, 3), (4, 3)]
    assert len(problems) == 1 and problems[0].text.startswith(f"{tmp_path / 'b.xml'}: no element found")
