"""Test images of a run with their truth and predictions: how well these agree, and pictures of the two.

One view for each type of annotations, in a tuple.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transfer.dedup.decoding import FORMATS
from transfer.errors import MissingData
from transfer.metrics.agreement import BOXES, KEYPOINTS, MASKS, Compared, agree_on_labels, decode_mask, surest
from transfer.metrics.metric import Files
from transfer.pictures.drawing import Colour, colour, draw_boxes, draw_joints, draw_labels, draw_masks, fit_image
from transfer.pictures.sheet import Pair

SIDE = 360
"""Longest side of a shown image, pixels."""

LEAST_JOINT_SCORE = 0.2

Categories = Sequence[Mapping[str, Any]]
Legend = list[tuple[str, Colour]]
DrawEntries = Callable[[Image.Image, Sequence[Any], Categories, float, tuple[int, int]], Image.Image]
"""A shown image, entries, categories, the scale of showing, and (height, width) of the image itself → it with these."""


@dataclass(frozen=True)
class Shown:
    """A test image: how well its predictions agree with the truth, and how to draw the two under a caption."""

    name: str
    agreement: float
    draw: Callable[[str], Pair]


@dataclass(frozen=True)
class RunFiles:
    """Files of a finished run: those that were scored, and the test images, by the name of their file or stem."""

    files: Files
    image: Callable[[str], Path]


@dataclass(frozen=True)
class View:
    """How test images with annotations of one type are shown; `legend` are the colours of classes without captions."""

    annotations: str
    tests: Callable[[RunFiles], Iterable[Shown]]
    legend: Callable[[Files], Legend] = lambda _: []


def view_of(annotations: str) -> View:
    """Return the view of a type of annotations."""
    return next(view for view in VIEWS if view.annotations == annotations)


def _label_maps(tested: RunFiles) -> Iterable[Shown]:
    for prediction in tested.files.predictions.glob("*.png"):
        image, truth = tested.image(prediction.stem), tested.files.truth / prediction.name
        agreement = agree_on_labels(_read_labels(truth), _read_labels(prediction), tested.files.ignore)
        yield Shown(image.name, agreement, partial(_draw_label_maps, image, truth, prediction))


def _draw_label_maps(image: Path, truth: Path, prediction: Path, caption: str) -> Pair:
    shown, _ = fit_image(_open_image(image), SIDE)
    return Pair(caption, *(draw_labels(shown, _read_labels(path)) for path in (truth, prediction)))


def _read_labels(path: Path) -> Any:
    with Image.open(path, formats=FORMATS) as image:
        return np.asarray(image)


def _class_colours(files: Files) -> Legend:
    return [(name, colour(index)) for index, name in enumerate(files.classes)]


def _objects(tested: RunFiles, compared: Compared, draw: DrawEntries) -> Iterable[Shown]:
    truth = json.loads(tested.files.truth.read_text(encoding="utf-8"))
    objects = _by_image(truth["annotations"])
    found = _by_image(json.loads(tested.files.predictions.read_text(encoding="utf-8")))
    for image in truth["images"]:
        if wanted := compared.to_find(objects[image["id"]]):
            agreement = compared.agreement(wanted, found[image["id"]], (image["height"], image["width"]))
            sides = wanted, surest(found[image["id"]], len(wanted))
            path = tested.image(image["file_name"])
            yield Shown(image["file_name"], agreement, partial(_draw_objects, path, sides, draw, truth["categories"]))


def _by_image(entries: Sequence[Mapping[str, Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for entry in entries:
        found[entry["image_id"]].append(entry)
    return found


def _draw_objects(
    path: Path, sides: Sequence[Sequence[Any]], draw: DrawEntries, categories: Categories, caption: str
) -> Pair:
    original = _open_image(path)
    shown, scale = fit_image(original, SIDE)
    size = original.height, original.width
    truth, prediction = (draw(shown.copy(), entries, categories, scale, size) for entries in sides)
    return Pair(caption, truth, prediction)


def _with_boxes(
    image: Image.Image, entries: Sequence[Any], categories: Categories, scale: float, size: tuple[int, int]
) -> Image.Image:
    draw_boxes(image, entries, {category["id"]: category["name"] for category in categories}, scale)
    return image


def _with_masks(
    image: Image.Image, entries: Sequence[Any], categories: Categories, scale: float, size: tuple[int, int]
) -> Image.Image:
    order = [category["id"] for category in categories]
    masks = [decode_mask(entry["segmentation"], size) for entry in entries]
    covered = draw_masks(image, masks, [colour(order.index(entry["category_id"])) for entry in entries])
    return _with_boxes(covered, entries, categories, scale, size)


def _with_joints(
    image: Image.Image, entries: Sequence[Any], categories: Categories, scale: float, size: tuple[int, int]
) -> Image.Image:
    draw_joints(image, entries, categories[0].get("skeleton", ()), scale, LEAST_JOINT_SCORE)
    return image


def _open_image(path: Path) -> Image.Image:
    if not path.is_file():
        raise MissingData(f"{path}: the run's test image is no longer there. Put the data back where it was.")
    with Image.open(path, formats=FORMATS) as image:
        return image.convert("RGB")


VIEWS = (
    View("boxes", partial(_objects, compared=BOXES, draw=_with_boxes)),
    View("masks", partial(_objects, compared=MASKS, draw=_with_masks)),
    View("keypoints", partial(_objects, compared=KEYPOINTS, draw=_with_joints)),
    View("label_maps", _label_maps, _class_colours),
)
