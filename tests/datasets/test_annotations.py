"""A COCO json's checks at both sides of each border, and its summary."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer.datasets.annotations import Annotations, parse, read_annotations
from transfer.errors import BrokenAnnotation

Json = dict[str, Any]
Read = Callable[..., list[str]]


def truth() -> Json:
    """Two images of 30x20, three boxes, two categories; all that any kind of annotation needs."""
    polygon = [[1, 1, 9, 1, 9, 9.5]]
    entry = {"category_id": 7, "segmentation": polygon, "keypoints": [0] * 6, "difficult": 0}
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 30, "height": 20} for n in (1, 2)],
        "annotations": [
            {**entry, "id": 11, "image_id": 1, "bbox": [0, 0, 30, 20]},
            {**entry, "id": 12, "image_id": 2, "bbox": [1, 2, 3, 4.5], "difficult": 1},
            {**entry, "id": 13, "image_id": 2, "bbox": [5, 5, 5, 5], "category_id": 9},
        ],
        "categories": [
            {"id": 9, "name": "later", "keypoints": ["nose", "eye"]},
            {"id": 7, "name": "first", "keypoints": ["nose", "eye"]},
        ],
    }


def read(folder: Path, data: Any, *fields: str) -> tuple[Annotations, list[str]]:
    path = folder / "truth.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    annotations, problems = read_annotations(path, fields)
    return annotations, [problem.text for problem in problems]


@pytest.fixture
def problems(tmp_path: Path) -> Read:
    """The problems of `truth()` with its first annotation updated."""

    def found(*fields: str, **changes: Any) -> list[str]:
        data = truth()
        data["annotations"][0].update(changes)
        return read(tmp_path, data, *fields)[1]

    return found


@pytest.mark.parametrize("fields", [(), ("bbox",), ("segmentation",), ("keypoints", "difficult")])
def test_the_summary_of_what_is_sound(tmp_path: Path, fields: tuple[str, ...]) -> None:
    annotations, found = read(tmp_path, truth(), *fields)
    assert found == []
    assert (annotations.classes, annotations.category_ids) == (("later", "first"), (9, 7))
    assert annotations.images == (("1.jpg", 30, 20), ("2.jpg", 30, 20))
    assert annotations.counts == (1, 2)


def test_the_digest_is_of_all_records_and_of_nothing_else(tmp_path: Path) -> None:
    data = truth()
    records = [[section, entry] for section in ("images", "annotations", "categories") for entry in data[section]]
    texts = [json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for record in records]
    hashes = sorted(hashlib.sha256(text.encode()).digest() for text in texts)
    expected = hashlib.sha256(b"".join(hashes)).hexdigest()
    assert read(tmp_path, data)[0].digest == expected
    turned = {
        section: [dict(reversed(entry.items())) for entry in reversed(data[section])] for section in reversed(data)
    }
    assert read(tmp_path, turned)[0].digest == expected


def test_names_in_any_language_have_one_digest(tmp_path: Path) -> None:
    data = truth()
    data["categories"][0]["name"] = "Bär 熊"
    escaped, raw = (tmp_path / name for name in ("escaped.json", "raw.json"))
    escaped.write_text(json.dumps(data), encoding="utf-8")
    raw.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    first, second = (read_annotations(path, ())[0] for path in (escaped, raw))
    assert first == second and first.classes[0] == "Bär 熊"


BOXES: list[tuple[list[float], str]] = [
    *(([0, 0, width, height], "") for width, height in ((0.5, 0.25), (30, 20), (32, 22))),
    *((box, "") for box in ([-2, -2, 5, 5], [28, 18, 4, 4], [29, 0, 3, 1], [0, 19, 1, 3])),
    *(([1, 1, width, height], "has no area") for width, height in ((0, 5), (5, 0), (-1, 5), (5, -1), (0, 0))),
    *((box, "reaches outside its image of 30x20") for box in ([-2.1, 0, 5, 5], [0, -2.1, 5, 5], [27, 0, 5.1, 5])),
    *((box, "reaches outside its image of 30x20") for box in ([0, 17, 5, 5.1], [0, 0, 32.1, 1], [0, 0, 1, 22.1])),
]


@pytest.mark.parametrize(("box", "fault"), BOXES)
def test_a_box_may_reach_out_by_two_pixels(problems: Read, box: list[float], fault: str) -> None:
    assert problems(bbox=box) == ([f"annotation 11 of 1.jpg: box {box} {fault}"] if fault else [])


@pytest.mark.parametrize(("rest", "expected"), [(9999, 0), (9998, 1)])
def test_one_flat_box_in_ten_thousand_is_coco(tmp_path: Path, rest: int, expected: int) -> None:
    data = truth()
    good = data["annotations"][1]
    data["annotations"] = [{**good, "id": number} for number in range(rest)] + [
        {**good, "id": -1, "bbox": [1, 1, 0, 1]}
    ]
    assert len(read(tmp_path, data)[1]) == expected


@pytest.mark.parametrize(
    "box", [None, [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, "4"], [1, 2, 3, True], {"x": 1}, [1, 2, 3, 1e999]]
)
def test_a_box_is_four_numbers(problems: Read, box: Any) -> None:
    (text,) = problems(bbox=box)
    assert (
        text == f"annotations[0]: bbox must be four numbers x, y, width, height, found {json.loads(json.dumps(box))!r}"
    )


@pytest.mark.parametrize(
    ("section", "change", "fault"),
    [
        ("images", {"id": None}, "id must be an integer"),
        ("images", {"id": True}, "id must be an integer"),
        ("images", {"width": "30"}, "width and height must be numbers"),
        ("images", {"height": None}, "width and height must be numbers"),
        ("images", {"file_name": 3}, "file_name must be a string"),
        ("annotations", {"id": 1.0, "category_id": "7"}, "id, category_id must be an integer"),
        ("annotations", {"image_id": "1"}, "image_id must be an integer"),
        ("categories", {"name": 3}, "name must be a string"),
        ("categories", {"id": "9"}, "id must be an integer"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_place(
    tmp_path: Path, section: str, change: Json, fault: str
) -> None:
    data = truth()
    data[section][1].update(change)
    annotations, found = read(tmp_path, data)
    assert found == [f"{section}[1]: {fault}"] and annotations == Annotations((), (), (), "")


@pytest.mark.parametrize(("section", "keys"), [
    ("images", ("id", "file_name", "width", "height")),
    ("annotations", ("id", "image_id", "category_id", "bbox")),
    ("categories", ("id", "name")),
])  # fmt: skip
def test_everything_that_is_missing_is_listed(tmp_path: Path, section: str, keys: tuple[str, ...]) -> None:
    data = truth()
    data[section][0] = {}
    data[section].append(3)
    count = len(data[section]) - 1
    assert read(tmp_path, data)[1] == [
        f"{section}[0]: {', '.join(keys)} missing",
        f"{section}[{count}]: expected an object, found int",
    ]


def test_what_occurs_twice_is_counted(tmp_path: Path) -> None:
    data = truth()
    for section in data:
        data[section] += [dict(data[section][1])] * 2
    assert read(tmp_path, data)[1] == [
        "images: id 2 occurs 3 times", "annotations: id 12 occurs 3 times", "categories: id 7 occurs 3 times",
        "images: file_name 2.jpg occurs 3 times",
    ]  # fmt: skip


def test_references_to_nothing_are_all_named(problems: Read) -> None:
    assert problems(image_id=5, category_id=3, bbox=[1, 1, 0, 0]) == [
        "annotation 11 names image 5, which is not among the images",
        "annotation 11 names category 3, which does not exist",
    ]


MASKS: list[tuple[Any, str]] = [
    ([[1, 1, 9, 1, 9, 9]], ""),
    ([[1, 1, 9, 1, 9, 9], [0.5, 0, 1, 1, 2, 2, 3, 3]], ""),
    ({"counts": "abc", "size": [20, 30]}, ""),
    ({"counts": [0, 600], "size": [20, 30]}, ""),
    ({"counts": [0, 600], "size": [30, 20]}, "has size [30, 20], its image [20, 30]"),
    ({"size": [20, 30]}, "is a run-length code without counts"),
    ({"counts": 600, "size": [20, 30]}, "is a run-length code without counts"),
    *((mask, "must be polygons or a run-length code, and is missing or empty") for mask in (None, [], "polygon")),
    *(
        (mask, "holds a polygon that is not x, y pairs of three points or more")
        for mask in (
            [[1, 1, 9, 1]],
            [[1, 1, 9, 1, 9]],
            [[1, 1, 9, 1, 9, 9, 1]],
            [[1, 1, 9, 1, 9, True]],
            [[1, 1, 9, 1, 9, 1e999]],
            [[1, 1, 9, 1, 9, 9], []],
            [{}],
        )
    ),
]


@pytest.mark.parametrize(("mask", "fault"), MASKS)
def test_masks(problems: Read, mask: Any, fault: str) -> None:
    assert problems("segmentation", segmentation=mask) == ([f"annotation 11: segmentation {fault}"] if fault else [])
    assert problems("bbox", segmentation=mask) == []


def test_a_mask_of_an_unknown_image_is_only_named_for_that(problems: Read) -> None:
    rle = {"counts": [0, 1], "size": [1, 1]}
    (text,) = problems("segmentation", image_id=5, segmentation=rle)
    assert "names image 5" in text


@pytest.mark.parametrize("given", [None, [0] * 5, [0] * 7, ["a"] * 6, 6])
def test_joints_need_three_numbers_each(problems: Read, given: Any) -> None:
    expected = ["annotation 11: keypoints must be 6 numbers (x, y, visibility per joint)"]
    assert problems("keypoints", keypoints=given) == expected
    assert problems("bbox", keypoints=given) == []


def test_a_category_without_joints_is_named_once(tmp_path: Path) -> None:
    data = truth()
    del data["categories"][1]["keypoints"]
    assert read(tmp_path, data, "keypoints")[1] == ["category 7 lists no keypoints"]


@pytest.mark.parametrize(
    ("given", "sound"), [(0, True), (1, True), (2, False), (-1, False), (None, False), ("0", False)]
)
def test_difficult_is_yes_or_no(problems: Read, given: Any, sound: bool) -> None:
    expected = [] if sound else [f"annotation 11: difficult must be 0 or 1, found {given!r}"]
    assert problems("difficult", difficult=given) == expected


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("text", ['{"images": [], "annotations": [], "categories": []}', "{"])
def test_reading_leaves_garbage_collection_as_it_was(tmp_path: Path, enabled: bool, text: str) -> None:
    path, before = tmp_path / "a.json", gc.isenabled()
    path.write_text(text)
    (gc.enable if enabled else gc.disable)()
    try:
        if text == "{":
            with pytest.raises(BrokenAnnotation, match=rf"^{path} is not valid JSON: "):
                parse(path)
        else:
            assert parse(path) == json.loads(text)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ([], "images"),
        ({"images": []}, "annotations"),
        ({"images": [], "annotations": [], "categories": 3}, "categories"),
    ],
)
def test_a_json_without_cocos_lists_says_which_is_missing(tmp_path: Path, data: Any, missing: str) -> None:
    with pytest.raises(
        BrokenAnnotation, match=rf"expected lists images, annotations, categories; '{missing}' is missing"
    ):
        read(tmp_path, data)


def test_brackets_without_end_are_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    with pytest.raises(BrokenAnnotation, match="is not valid JSON"):
        parse(path)


@pytest.mark.parametrize("field", ["segmentation", "keypoints", "difficult"])
def test_what_entries_must_say_is_checked_besides_their_boxes(problems: Read, field: str) -> None:
    found = problems(field, **{"bbox": [1, 1, 0, 1], field: None})
    assert len(found) == 2 and "has no area" in found[0] and field in found[1]


def test_entries_that_need_not_say_whether_they_are_difficult_may_not_say_nonsense(problems: Read) -> None:
    assert problems(difficult=2) == ["annotation 11: difficult must be 0 or 1, found 2"]
