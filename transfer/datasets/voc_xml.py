"""PASCAL VOC's XML annotations as one COCO-style truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from transfer.datasets.problems import Problem

Entry = dict[str, Any]


def coco_of_voc(folder: Path, stems: Sequence[str], classes: Sequence[str]) -> tuple[Entry, list[Problem]]:
    """COCO's `images`, `annotations`, `categories` of `folder/<stem>.xml`, and every problem found on the way.

    Boxes are VOC's 1-based inclusive corners made 0-based, as detectron2 reads them: x = xmin - 1,
    width = xmax - xmin + 1. Objects marked difficult stay, with `difficult` 1. Images are `<stem>.jpg`, and ids count
    from 1 in the order of the sorted stems, so that the order of a list changes nothing.
    """
    truth: Entry = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    ids = {name: number for number, name in enumerate(classes, 1)}
    problems: list[Problem] = []
    for number, stem in enumerate(sorted(stems), 1):
        try:
            root = ElementTree.parse(folder / f"{stem}.xml").getroot()
            width, height = (int(_text(root, f"size/{side}")) for side in ("width", "height"))
            boxes = [_annotation(item, ids) for item in root.iter("object")]
        except FileNotFoundError:
            problems.append(Problem(f"{folder / stem}.xml is listed but does not exist"))
        except (ElementTree.ParseError, ValueError) as error:
            problems.append(Problem(f"{folder / stem}.xml: {error}"))
        else:
            truth["images"].append({"id": number, "file_name": f"{stem}.jpg", "width": width, "height": height})
            start = len(truth["annotations"]) + 1
            truth["annotations"] += [{"id": i, "image_id": number, **box} for i, box in enumerate(boxes, start)]
    return truth, problems


def _annotation(item: ElementTree.Element, ids: dict[str, int]) -> Entry:
    name = _text(item, "name")
    if name not in ids:
        raise ValueError(f"class {name!r} is not one of {', '.join(ids)}")
    left, top, right, bottom = (float(_text(item, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    width, height = right - left + 1, bottom - top + 1
    box = [left - 1, top - 1, width, height]
    difficult = int(item.findtext("difficult") or 0)
    return {"category_id": ids[name], "bbox": box, "area": width * height, "iscrowd": 0, "difficult": difficult}


def _text(element: ElementTree.Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"<{element.tag}> has no {path}")
    return text
