"""COCO json files: what they must say, and a digest that ignores how they say it."""

from __future__ import annotations

import gc
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from transfer.datasets.problems import Problem
from transfer.errors import BrokenAnnotation

Entry = Mapping[str, Any]

CLIP = 2.0
"""Pixels a box may reach outside its image; COCO's own boxes do by fractions of one."""

DEGENERATE = 1e-4
"""Share of boxes that may be empty or outside: COCO train2017 itself holds a few empty ones among 860 001."""

CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)

REQUIRED = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


@dataclass(frozen=True)
class Annotations:
    """A COCO json that was read: names and ids of its categories as listed, (name, width, height) of its images.

    `digest` is the SHA-256 of all records, whatever their order and the file's formatting; `counts` are the annotations
    of each category.
    """

    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: tuple[tuple[str, int, int], ...]
    digest: str
    counts: tuple[int, ...] = ()


def read_annotations(path: Path, fields: Collection[str]) -> tuple[Annotations, list[Problem]]:
    """Read a COCO json whose entries must have `fields`: `segmentation`, `keypoints`, `difficult`; all have boxes.

    Raises BrokenAnnotation when it cannot be read as COCO's structure at all; all else is returned as problems.
    """
    data = parse(path)
    malformed = [problem for section in REQUIRED for problem in _malformed(data[section], section)]
    if malformed:
        return Annotations((), (), (), ""), malformed
    problems = [*_duplicates(data), *_references(data), *_boxes(data), *_difficult(data, "difficult" in fields)]
    for field in CHECKS.keys() & fields:
        problems += CHECKS[field](data)
    return _summary(data), problems


def parse(path: Path) -> dict[str, list[Entry]]:
    """The lists of a COCO json. Raises BrokenAnnotation when it is no JSON or has not got them."""
    try:
        with _uncollected():
            data: dict[str, list[Entry]] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BrokenAnnotation(f"{path} is not valid JSON: {error}. Download or export it again.") from error
    for section in REQUIRED:
        if not isinstance(data, dict) or not isinstance(data.get(section), list):
            expected = ", ".join(REQUIRED)
            raise BrokenAnnotation(f"{path} is not a COCO json: expected lists {expected}; {section!r} is missing.")
    return data


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection: among millions of new objects, none of them garbage, it takes most of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _malformed(entries: list[Entry], section: str) -> Iterator[Problem]:
    for position, entry in enumerate(entries):
        fault = _fault(entry, section)
        if fault:
            yield Problem(f"{section}[{position}]: {fault}")


def _fault(entry: Any, section: str) -> str:
    if not isinstance(entry, Mapping):
        return f"expected an object, found {type(entry).__name__}"
    absent = [key for key in REQUIRED[section] if key not in entry]
    if absent:
        return f"{', '.join(absent)} missing"
    numbers = [key for key in REQUIRED[section] if key.endswith("id") and type(entry[key]) is not int]
    if numbers:
        return f"{', '.join(numbers)} must be an integer"
    names = [key for key in ("file_name", "name") if key in REQUIRED[section] and not isinstance(entry[key], str)]
    if names:
        return f"{', '.join(names)} must be a string"
    return _geometry_fault(entry, section)


def _geometry_fault(entry: Entry, section: str) -> str:
    if section == "images" and not _numbers([entry["width"], entry["height"]], 2):
        return "width and height must be numbers"
    if section == "annotations" and not _numbers(entry["bbox"], 4):
        return f"bbox must be four numbers x, y, width, height, found {entry['bbox']!r}"
    return ""


def _numbers(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(map(_number, values))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _duplicates(data: Mapping[str, list[Entry]]) -> Iterator[Problem]:
    for section in REQUIRED:
        yield from (Problem(f"{section}: id {id} occurs {n} times") for id, n in _repeated(data[section], "id"))
    for name, n in _repeated(data["images"], "file_name"):
        yield Problem(f"images: file_name {name} occurs {n} times")


def _repeated(entries: Iterable[Entry], key: str) -> Iterator[tuple[Any, int]]:
    return ((value, count) for value, count in Counter(entry[key] for entry in entries).items() if count > 1)


def _references(data: Mapping[str, list[Entry]]) -> Iterator[Problem]:
    images, categories = ({entry["id"] for entry in data[section]} for section in ("images", "categories"))
    for entry in data["annotations"]:
        if entry["image_id"] not in images:
            yield Problem(f"annotation {entry['id']} names image {entry['image_id']}, which is not among the images")
        if entry["category_id"] not in categories:
            yield Problem(f"annotation {entry['id']} names category {entry['category_id']}, which does not exist")


def _boxes(data: Mapping[str, list[Entry]]) -> list[Problem]:
    sizes = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    names = {image["id"]: image["file_name"] for image in data["images"]}
    problems = [
        Problem(f"annotation {entry['id']} of {names[entry['image_id']]}: box {entry['bbox']} {fault}")
        for entry in data["annotations"]
        if entry["image_id"] in sizes and (fault := _box_fault(entry["bbox"], sizes[entry["image_id"]]))
    ]
    return problems if len(problems) > DEGENERATE * len(data["annotations"]) else []


def _box_fault(box: list[float], size: tuple[float, float]) -> str:
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return "has no area"
    if min(x, y) < -CLIP or x + width > size[0] + CLIP or y + height > size[1] + CLIP:
        return f"reaches outside its image of {size[0]}x{size[1]}"
    return ""


def _keypoints(data: Mapping[str, list[Entry]]) -> Iterator[Problem]:
    joints = {entry["id"]: entry.get("keypoints") for entry in data["categories"]}
    yield from (Problem(f"category {id} lists no keypoints") for id, names in joints.items() if not names)
    for entry in data["annotations"]:
        expected = 3 * len(joints.get(entry["category_id"]) or ())
        if expected and not _numbers(entry.get("keypoints"), expected):
            yield Problem(
                f"annotation {entry['id']}: keypoints must be {expected} numbers (x, y, visibility per joint)"
            )


def _masks(data: Mapping[str, list[Entry]]) -> Iterator[Problem]:
    sizes = {image["id"]: [image["height"], image["width"]] for image in data["images"]}
    for entry in data["annotations"]:
        fault = _mask_fault(entry.get("segmentation"), sizes.get(entry["image_id"]))
        if fault:
            yield Problem(f"annotation {entry['id']}: segmentation {fault}")


def _mask_fault(mask: Any, size: list[int] | None) -> str:
    """What is wrong with polygons (lists x, y, x, y, ... of three points or more) or an RLE of the image's `size`."""
    if isinstance(mask, Mapping):
        if not isinstance(mask.get("counts"), (list, str)):
            return "is a run-length code without counts"
        return "" if size is None or mask.get("size") == size else f"has size {mask.get('size')}, its image {size}"
    if not isinstance(mask, list) or not mask:
        return "must be polygons or a run-length code, and is missing or empty"
    return "" if all(map(_polygon, mask)) else "holds a polygon that is not x, y pairs of three points or more"


def _polygon(points: Any) -> bool:
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        return False
    return {*map(type, points)} <= {int, float} and isfinite(sum(points))


def _difficult(data: Mapping[str, list[Entry]], needed: bool) -> Iterator[Problem]:
    for entry in data["annotations"]:
        if (needed or "difficult" in entry) and entry.get("difficult") not in (0, 1):
            yield Problem(f"annotation {entry['id']}: difficult must be 0 or 1, found {entry.get('difficult')!r}")


def _summary(data: Mapping[str, list[Entry]]) -> Annotations:
    classes = tuple(entry["name"] for entry in data["categories"])
    category_ids = tuple(entry["id"] for entry in data["categories"])
    images = tuple((i["file_name"], int(i["width"]), int(i["height"])) for i in data["images"])
    occurring = Counter(entry["category_id"] for entry in data["annotations"])
    counts = tuple(occurring[id] for id in category_ids)
    return Annotations(classes, category_ids, images, _digest(data), counts)


def _digest(data: Mapping[str, list[Entry]]) -> str:
    records = [_record_hash(section, entry) for section in REQUIRED for entry in data[section]]
    return hashlib.sha256(b"".join(sorted(records))).hexdigest()


def _record_hash(section: str, entry: Entry) -> bytes:
    return hashlib.sha256(CANONICAL.encode([section, entry]).encode()).digest()


CHECKS: Mapping[str, Callable[[Mapping[str, list[Entry]]], Iterable[Problem]]] = {
    "segmentation": _masks,
    "keypoints": _keypoints,
}
"""What is looked at in fields that not every entry has."""
