from __future__ import annotations

from collections import Counter
from pathlib import Path

from transfer.datasets.voc_xml import coco_of_voc

OBJECT = "<object><name>{}</name>{}<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>4</ymax></bndbox></object>"
SIZE = "<size><width>20</width><height>10</height></size>"


def _write(folder: Path, stem: str, content: str) -> None:
    (folder / f"{stem}.xml").write_text(f"<annotation>{content}</annotation>")


def _files(folder: Path, *stems: str) -> list[tuple[Path, str]]:
    return [(folder / f"{stem}.xml", f"{stem}.jpg") for stem in stems]


def test_corners_that_count_from_one_become_boxes_that_count_from_zero(tmp_path: Path) -> None:
    _write(tmp_path, "a", SIZE + OBJECT.format("cat", "<difficult>1</difficult>") + OBJECT.format("dog", ""))
    truth, problems = coco_of_voc(_files(tmp_path, "a"), ["dog", "cat"])
    first = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [0, 1, 10, 3], "area": 30, "iscrowd": 0, "difficult": 1}
    assert not problems
    assert truth["annotations"] == [first, {**first, "id": 2, "category_id": 1, "difficult": 0}]
    assert truth["images"] == [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10}]


def test_the_order_of_the_list_changes_nothing(tmp_path: Path) -> None:
    for stem in "ab":
        _write(tmp_path, stem, SIZE + OBJECT.format("cat", ""))
    assert coco_of_voc(_files(tmp_path, "a", "b"), ["cat"]) == coco_of_voc(_files(tmp_path, "b", "a"), ["cat"])


def test_every_problem_is_listed_in_one_pass(tmp_path: Path) -> None:
    _write(tmp_path, "class", SIZE + OBJECT.format("cow", ""))
    _write(tmp_path, "size", OBJECT.format("cat", ""))
    (tmp_path / "cut.xml").write_text("<annotation>")
    truth, problems = coco_of_voc(_files(tmp_path, "absent", "class", "cut", "size"), ["cat"])
    expected = ("does not exist", "class 'cow' is not one of cat", "no element found", "has no size/width")
    assert len(problems) == 4 and [image["file_name"] for image in truth["images"]] == ["class.jpg"]
    assert all(part in str(problem) for part, problem in zip(expected, problems, strict=True))


def test_real_boxes_have_the_counts_of_their_notice(shared_data: Path) -> None:
    base = shared_data / "bccd" / "BCCD"
    classes = ("RBC", "WBC", "Platelets")
    counts: Counter[str] = Counter()
    for part, images in (("trainval", 292), ("test", 72)):
        stems = (base / f"ImageSets/Main/{part}.txt").read_text().split()
        truth, problems = coco_of_voc(_files(base / "Annotations", *stems), classes)
        assert not problems and len(truth["images"]) == images
        counts.update(classes[entry["category_id"] - 1] for entry in truth["annotations"])
    assert counts == {"RBC": 4155, "WBC": 372, "Platelets": 361}
