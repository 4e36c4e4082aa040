"""Predictions as one COCO results file beside one COCO annotation file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transfer.errors import BadOption, BrokenAnnotation
from transfer.metrics.coco import Entry, read_predictions, read_truth
from transfer.metrics.metric import Files, Form


def places_of(files: Files) -> Mapping[Any, int]:
    """Map the id of every image to its place in the order of names. Raises BrokenAnnotation or MissingData."""
    return {image: place for place, (_, image) in enumerate(_ranked(files))}


def _images(files: Files) -> list[str]:
    return [name for name, _ in _ranked(files)]


def _ranked(files: Files) -> list[tuple[str, Any]]:
    """File names and ids of all images, in whatever order the file lists them."""
    names = _file_names(files.truth, read_truth(files.truth, {}))
    return sorted(((name, image) for image, name in names.items()), key=lambda pair: (pair[0], str(pair[1])))


def _file_names(path: Path, truth: Entry) -> dict[int | str, str]:
    if nameless := [image["id"] for image in truth["images"] if not isinstance(image.get("file_name"), str)]:
        raise BrokenAnnotation(f"{path}: expected a file_name of every image, image {nameless[0]!r} has none. Add it.")
    return {image["id"]: image["file_name"] for image in truth["images"]}


def _called(file_name: str) -> str:
    return file_name


@contextmanager
def _part(files: Files, images: Collection[str]) -> Iterator[Files]:
    truth = read_truth(files.truth, {})
    found, truth = _only(truth, read_predictions(files.predictions, truth, {}), set(images))
    with TemporaryDirectory() as folder:
        part = replace(files, predictions=Path(folder, "predictions.json"), truth=Path(folder, "truth.json"))
        for path, value in ((part.predictions, found), (part.truth, truth)):
            path.write_text(json.dumps(value), encoding="utf-8")
        yield part


def _only(truth: Entry, predictions: list[Entry], images: set[str]) -> tuple[list[Entry], Entry]:
    """Predictions and truth of `images`, in the order they had, which decides between equal scores."""
    kept = [image for image in truth["images"] if image["file_name"] in images]
    ids = {image["id"] for image in kept}
    objects, found = (
        [entry for entry in entries if entry["image_id"] in ids] for entries in (truth["annotations"], predictions)
    )
    return found, {**truth, "images": kept, "annotations": objects}


def _given(predictions: Path, truth: Path, classes: str | None, ignore: int | None) -> Files:
    if classes is not None or ignore is not None:
        raise BadOption("--classes and --ignore are for label maps; a COCO annotation file says its own classes.")
    return Files(predictions, truth)


RESULTS_FILE = Form("predictions.json", False, _images, _called, _part, _given)
