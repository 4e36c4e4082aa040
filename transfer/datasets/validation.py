"""A validation part of the training images, for every choice that anyone makes: copies of one image stay together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from fractions import Fraction
from pathlib import Path

from transfer.datasets.layouts import Split
from transfer.datasets.preflight import stems_of
from transfer.datasets.selection import names_of
from transfer.datasets.subsets import write_part
from transfer.errors import BadOption
from transfer.schemas.annotations import annotation_type

SHARE = Fraction(1, 10)
"""Of the groups of images; the images of a group are all in the part, or none is."""

COPIES = (
    r"\.(jpe?g|png|bmp|webp|tiff?)",  # a format
    r"[._](jpe?g|png|bmp|webp|tiff?)\.rf\.[0-9a-z]+",  # Roboflow's exports: street_jpg.rf.0f3a...
    r"[-_. ]+(aug|augmented|copy)[-_. ]*\d*",  # street_aug1, street-augmented-02, street - Copy
    r" *\(\d+\)",  # street (1)
)
COPY = re.compile(rf"(?<=[^/])({'|'.join(COPIES)})$", re.IGNORECASE)


def source_name(name: str) -> str:
    """Return the name of what the image called `name` shows: without its format and what copying appends to names.

    An image's stem gives the same. Folders stay, since `a/1.jpg` and `b/1.jpg` are mostly two images.
    """
    while (shorter := COPY.sub("", name)) != name:
        name = shorter
    return name


def validation_part(
    names: Iterable[str], groups: Iterable[Collection[str]] = (), share: Fraction = SHARE
) -> frozenset[str]:
    """Return the images, about `share` of them, that nothing is trained on while a choice is made.

    Images stay together that are copies of one source by their names, or that stand in one of `groups`, such as
    near-duplicates. A group is in the part where the SHA-256 of its alphabetically first source is small, so neither
    the order of the images nor what other groups hold changes anything; only where no group is, the one with the
    smallest is. Raises BadOption where all images would be in the part.
    """
    names = list(names)
    first = _first_sources(names, groups)
    places = {name: _place(first[source_name(name)]) for name in names}
    limit = max(float(share), min(places.values(), default=0.0))
    part = frozenset(name for name, place in places.items() if place <= limit)
    if len(part) == len(places):
        raise BadOption(
            f"{len(places)} training images show {len(set(places.values()))} scenes by their names and looks, too few "
            "to train on some and validate on others. Take a training set with more."
        )
    return part


def validation_splits(
    split: Split, annotations: str, work: Path, groups: Iterable[Collection[str]] = (), share: Fraction = SHARE
) -> tuple[Split, Split]:
    """Return (training, validation) parts of a checked training split, as files below `work`."""
    needed = annotation_type(annotations)
    names = stems_of(split) if needed.field is None else names_of(split.annotations)
    part = validation_part(names, groups, share)
    rest = frozenset(names) - part
    return write_part(split, needed, rest, work, "without-validation"), write_part(
        split, needed, part, work, "validation"
    )


def _first_sources(names: Iterable[str], groups: Iterable[Collection[str]]) -> dict[str, str]:
    """Return for each source the alphabetically first one that it is joined with, by any chain of groups."""
    first = {source: source for source in map(source_name, names)}

    def find(source: str) -> str:
        while first.setdefault(source, source) != source:
            source = first[source]
        return source

    for group in groups:
        roots = {find(source_name(name)) for name in group}
        first |= dict.fromkeys(roots, min(roots, default=""))
    return {source: find(source) for source in tuple(first)}


def _place(source: str) -> float:
    """Return a number from 0 to 1 that the name decides, and not as a subset's order is: a subset needs such a part."""
    digest = hashlib.sha256(f"validation {source}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64
