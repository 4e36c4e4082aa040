"""What a checked split consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from transfer.schemas.mapping import Fields


@dataclass(frozen=True, eq=True)
class Manifest(Fields):
    """The certificate of a checked split.

    `images` counts the images used; `sha256` covers the annotations and the bytes of every image used, and depends
    on neither path, machine nor order; `classes` are the names by label, starting at label 0, and `category_ids` their
    ids in a COCO json (empty for label maps). A json's labels follow the order in which it lists its categories.
    `counts` are by label the annotations, or for label maps the images that show the class; `hashes` the SHA-256 of the
    images by name.
    """

    images: int
    sha256: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
