"""Predictions on COCO's test-dev as the archive that its evaluation server takes."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transfer.datasets.problems import Problem, report
from transfer.errors import BadOption, BrokenPredictions, MissingData
from transfer.files.atomic import replacing
from transfer.schemas.annotations import annotation_type

JOINTS = 17


@dataclass(frozen=True)
class Submission:
    """Results that COCO's server takes.

    `prefix` begins the name of their file (cocodataset.org, Upload), `fault` says what the server refuses of an entry.
    """

    prefix: str
    fault: Callable[[Mapping[str, Any]], str]


def write_submission(predictions: Path, output: Path, annotations: str, name: str, info: Path | None = None) -> Path:
    """Write `output` (zip) with `<prefix>_test-dev2017_<name>_results.json` inside, as COCO names such results.

    With `info`, COCO's image_info_test-dev2017.json, images and categories must be among its. Raises BadOption,
    MissingData, or BrokenPredictions that lists every entry that the server would refuse.
    """
    asked = annotation_type(annotations).name
    if asked not in SUBMISSIONS:
        raise BadOption(f"COCO takes results of {', '.join(SUBMISSIONS)}, not of {asked}.")
    taken = SUBMISSIONS[asked]
    if not re.fullmatch(r"[A-Za-z0-9.-]+", name):
        raise BadOption(f"the name of a submission has letters, digits, dots and dashes only, not {name!r}.")
    entries = _read(predictions)
    known = _known(info) if info is not None else None
    problems = [Problem(f"result {n}: {fault}") for n, fault in _faults(entries, taken, known)]
    if problems:
        raise BrokenPredictions(report(problems, predictions))
    with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(f"{taken.prefix}_test-dev2017_{name}_results.json")  # no date: equal bytes
        archive.writestr(member, json.dumps(entries), zipfile.ZIP_DEFLATED)
    return output


def _read(path: Path) -> list[Any]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingData(f"{path} does not exist: expected the predictions of a run, predictions.json.") from error
    except ValueError as error:
        raise BrokenPredictions(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(entries, list) or not entries:
        raise BrokenPredictions(
            f"{path}: expected a list of COCO results, found {'none' if entries == [] else 'else'}."
        )
    return entries


def _known(info: Path) -> tuple[set[int], set[int]]:
    try:
        data = json.loads(info.read_text(encoding="utf-8"))
        images, categories = ({entry["id"] for entry in data[section]} for section in ("images", "categories"))
    except FileNotFoundError as error:
        raise MissingData(f"{info} does not exist: expected COCO's image_info_test-dev2017.json.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadOption(f"{info}: expected image_info_test-dev2017.json with images and categories: {error}") from error
    return images, categories


def _faults(
    entries: list[Any], taken: Submission, known: tuple[Collection[int], Collection[int]] | None
) -> Iterator[tuple[int, str]]:
    for number, entry in enumerate(entries):
        fault = _fault(entry, taken)
        if not fault and known is not None:
            fault = "" if entry["image_id"] in known[0] else f"image {entry['image_id']} is not one of test-dev"
            fault = fault or ("" if entry["category_id"] in known[1] else f"no category {entry['category_id']}")
        if fault:
            yield number, fault


def _fault(entry: Any, taken: Submission) -> str:
    if not isinstance(entry, Mapping):
        return "is not an object"
    absent = [key for key in ("image_id", "category_id", "score") if type(entry.get(key)) not in (int, float)]
    return f"{', '.join(absent)} must be a number" if absent else taken.fault(entry)


def _mask_fault(entry: Mapping[str, Any]) -> str:
    mask = entry.get("segmentation")
    coded = isinstance(mask, Mapping) and isinstance(mask.get("counts"), str) and "size" in mask
    return "" if coded else "segmentation must be a compressed run-length code"


def _list_fault(entry: Mapping[str, Any], key: str, length: int) -> str:
    values = entry.get(key)
    numbers = isinstance(values, list) and len(values) == length and all(type(v) in (int, float) for v in values)
    return "" if numbers else f"{key} must be {length} numbers"


SUBMISSIONS: Mapping[str, Submission] = {
    "boxes": Submission("detections", partial(_list_fault, key="bbox", length=4)),
    "masks": Submission("detections", _mask_fault),
    "keypoints": Submission("person_keypoints", partial(_list_fault, key="keypoints", length=3 * JOINTS)),
}
