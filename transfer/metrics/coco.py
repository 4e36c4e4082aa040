"""COCO result and annotation files: read, checked entry by entry, and put through COCOeval in silence."""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from transfer.errors import BrokenAnnotation, BrokenPredictions, DataError, MissingData
from transfer.metrics.coco_types import CocoType

Entry = dict[str, Any]
Fields = Mapping[str, int]
"""How many numbers each field of an entry must hold: 0 for a single number, n for a list of n."""


def read_truth(path: Path, fields: Fields) -> Entry:
    """Read an annotation file: a dict of `images`, `annotations` and `categories`.

    Raises MissingData or BrokenAnnotation.
    """
    if not path.is_file():
        raise MissingData(f"{path}: expected a COCO annotation file, found none. Check the data root.")
    truth = _read_json(path, BrokenAnnotation)
    keys = ("images", "annotations", "categories")
    if not isinstance(truth, dict) or not all(_entries(truth.get(key)) for key in keys):
        raise BrokenAnnotation(f"{path}: expected an object with lists of objects under {', '.join(keys)}.")
    if not all("id" in item for key in ("images", "categories") for item in truth[key]):
        raise BrokenAnnotation(f"{path}: every image and category needs an id.")
    _check_entries(path, truth["annotations"], truth, fields, BrokenAnnotation)
    return truth


def read_predictions(path: Path, truth: Entry, fields: Fields, optional: Fields | None = None) -> list[Entry]:
    """Read a COCO results file: a list of detections, possibly empty. All or none have an `optional` field.

    Raises BrokenPredictions.
    """
    if not path.is_file():
        raise BrokenPredictions(f"{path}: expected a COCO results file, found none. Check the path.")
    predictions = _read_json(path, BrokenPredictions)
    if not isinstance(predictions, list):
        raise BrokenPredictions(f"{path}: expected a list of detections, got {type(predictions).__name__}.")
    first = predictions[0] if predictions and isinstance(predictions[0], dict) else {}
    given = {key: length for key, length in (optional or {}).items() if key in first}
    _check_entries(path, predictions, truth, {**fields, **given}, BrokenPredictions)
    return predictions


class Measured(NamedTuple):
    """Files that are read and checked: the annotations, and the results with their `area` in pixels."""

    truth: Entry
    found: list[Entry]


def coco_engine(what: CocoType, files: Measured, engine: type[COCOeval] = COCOeval) -> COCOeval:
    """Return pycocotools' COCOeval, or another of its kind, of files whose entries are `what`."""
    return engine(
        *(_indexed(files.truth, entries) for entries in (files.truth["annotations"], files.found)), what.iou_type
    )


def coco_stats(evaluation: COCOeval) -> list[float]:
    """Return COCOeval's summary numbers in its own order; -1 where the data set has nothing to find."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def loaded_area(entry: Entry) -> float:
    """Return the size that pycocotools' loadRes gives a detection with a box or joints: the box's, or of one around."""
    if "bbox" in entry:
        _, _, width, height = entry["bbox"]
        return float(width * height)
    xs, ys = entry["keypoints"][0::3], entry["keypoints"][1::3]
    return float((max(xs) - min(xs)) * (max(ys) - min(ys)))


def _indexed(truth: Entry, entries: Iterable[Entry]) -> Any:
    """`entries` as pycocotools' index over the images of `truth`.

    Not `loadRes`, which fails on an empty list. Entries are numbered from 1 because COCOeval takes a match with
    an annotation of id 0 for no match.
    """
    numbered = [{**entry, "id": number} for number, entry in enumerate(entries, start=1)]
    index = COCO()
    index.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": numbered}
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index


def _read_json(path: Path, error: type[DataError]) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as reason:
        raise error(f"{path}: expected a readable JSON file: {reason}. Write it again.") from reason


def _entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _check_entries(path: Path, entries: list[Any], truth: Entry, fields: Fields, error: type[DataError]) -> None:
    images = {item["id"] for item in truth["images"]}
    categories = {item["id"] for item in truth["categories"]}
    for number, entry in enumerate(entries):
        if problem := _problem(entry, fields, images, categories):
            raise error(f"{path}: entry {number} {problem}")


def _problem(entry: Any, fields: Fields, images: set[Any], categories: set[Any]) -> str:
    """What is wrong with an annotation or a detection; empty if nothing is."""
    required = ("image_id", "category_id", *fields)
    if not isinstance(entry, dict):
        return f"is {type(entry).__name__}; expected an object with {', '.join(required)}."
    if missing := [key for key in required if key not in entry]:
        return f"lacks {', '.join(missing)}; expected {', '.join(required)}, got {', '.join(map(str, entry))}."
    for key, known in (("image_id", images), ("category_id", categories)):
        if not isinstance(entry[key], int | str) or entry[key] not in known:
            return f"has {key} {entry[key]!r}, which the annotation file does not define. {_nearest(entry[key], known)}"
    return next((text for key, length in fields.items() if (text := _odd_numbers(key, entry[key], length))), "")


def _odd_numbers(key: str, value: Any, length: int) -> str:
    values = [value] if length == 0 else value
    if not isinstance(values, list) or (length and len(values) != length):
        came = f"{len(value)} values" if isinstance(value, list) else type(value).__name__
        return f"has {came} as {key}; expected {length} numbers."
    if all(isinstance(item, int | float) and math.isfinite(item) for item in values):
        return ""
    return f"has {value!r} as {key}; expected finite numbers."


def _nearest(value: Any, known: set[Any]) -> str:
    close = difflib.get_close_matches(str(value), [str(item) for item in known], n=3, cutoff=0)
    return f"Nearest of {len(known)}: {', '.join(close)}. Were they made for another data set?"
