"""The types of annotations that a data set may have: what a metric needs and what a data set's TOML names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from transfer.errors import UnknownName


@dataclass(frozen=True)
class AnnotationType:
    """A type of annotations.

    `field` is the key of an entry in a COCO json that holds one; None where each image has a label map instead.
    """

    name: str
    field: str | None


TYPES = (
    AnnotationType("boxes", "bbox"),
    AnnotationType("masks", "segmentation"),
    AnnotationType("keypoints", "keypoints"),
    AnnotationType("label_maps", None),
)

ANNOTATIONS = tuple(each.name for each in TYPES)

ALIASES: Mapping[str, str] = {"bbox": "boxes", "voc": "boxes", "segm": "masks", "miou": "label_maps"}
"""Former spellings, read for one release: they were the names of metrics."""


def annotation_type(name: str) -> AnnotationType:
    """Return the type of annotations called `name`, or formerly called so. Raises UnknownName."""
    for each in TYPES:
        if each.name == ALIASES.get(name, name):
            return each
    raise UnknownName.among("type of annotations", name, ANNOTATIONS)
