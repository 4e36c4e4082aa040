"""PASCAL VOC's XML annotations as one COCO-style truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from transfer.datasets.problems import Problem

Entry = dict[str, Any]


def coco_of_voc(files: Iterable[tuple[Path, str]], classes: Sequence[str]) -> tuple[Entry, list[Problem]]:
    """COCO's `images`, `annotations`, `categories` of (XML, image file name) pairs, and every problem on the way.

    Boxes are VOC's 1-based inclusive corners made 0-based, as detectron2 reads them: x = xmin - 1,
    width = xmax - xmin + 1. Objects marked difficult stay, with `difficult` 1: detectron2, and with it the published
    07+12 transfer tables (MoCo's protocol), trains on them, while VOC's scores neither reward nor punish them. Ids
    count from 1 in the order of the image names, so that the order of a list changes nothing.
    """
    truth: Entry = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    ids = {name: number for number, name in enumerate(classes, 1)}
    problems: list[Problem] = []
    for number, (path, name) in enumerate(sorted(files, key=lambda pair: pair[1]), 1):
        try:
            root = ElementTree.parse(path).getroot()
            width, height = (int(_text(root, f"size/{side}")) for side in ("width", "height"))
        except FileNotFoundError:
            problems.append(Problem(f"{path} is listed but does not exist"))
            continue
        except (ElementTree.ParseError, ValueError) as error:
            problems.append(Problem(f"{path}: {error}"))
            continue
        truth["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        for item in root.iter("object"):
            try:
                box = _annotation(item, ids)
            except ValueError as error:
                problems.append(Problem(f"{path}: {error}"))
            else:
                truth["annotations"].append({"id": len(truth["annotations"]) + 1, "image_id": number, **box})
    return truth, problems


def _annotation(item: ElementTree.Element, ids: dict[str, int]) -> Entry:
    name = _text(item, "name")
    if name not in ids:
        raise ValueError(f"class {name!r} is not one of {', '.join(ids)}")
    left, top, right, bottom = (float(_text(item, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    width, height = right - left + 1, bottom - top + 1
    difficult = int(item.findtext("difficult") or 0)
    return {
        "category_id": ids[name],
        "bbox": [left - 1, top - 1, width, height],
        "area": width * height,
        "iscrowd": 0,
        "difficult": difficult,
    }


def _text(element: ElementTree.Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"<{element.tag}> has no {path}")
    return text
