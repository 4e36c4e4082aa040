"""A COCO json restricted to some of its images."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer.datasets.annotations import parse
from transfer.datasets.problems import Problem


def select(data: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """`data` with the images called `names` and their annotations; all categories stay, so that labels stay."""
    images = [image for image in data["images"] if image["file_name"] in names]
    ids = {image["id"] for image in images}
    return {**data, "images": images, "annotations": [a for a in data["annotations"] if a["image_id"] in ids]}


def write_selected(source: Path, names: Collection[str], target: Path) -> None:
    """Write the part of the json `source` that concerns the images called `names`."""
    target.write_text(json.dumps(select(parse(source), names)), encoding="utf-8")


def write_listed(source: Path, listing: Path, target: Path) -> list[Problem]:
    """The same for a list of image ids or file names, one a line (COCO's minival lists); entries without an image."""
    data = parse(source)
    names = {str(key): image["file_name"] for image in data["images"] for key in _keys(image)}
    wanted = read_list(listing)
    write_selected(source, {names[entry] for entry in wanted if entry in names}, target)
    return [
        Problem(f"{listing} lists {entry}, which {source} has no image for") for entry in wanted if entry not in names
    ]


def labels_by_image(source: Path, field: str) -> dict[str, frozenset[int]]:
    """Return the categories that each image shows; a crowd, or a person without joints where these are the `field`,
    shows nothing.
    """
    data = parse(source)
    shown: dict[int, set[int]] = {image["id"]: set() for image in data["images"]}
    for entry in data["annotations"]:
        if not entry.get("iscrowd", 0) and (field != "keypoints" or entry.get("num_keypoints", 1)):
            shown[entry["image_id"]].add(entry["category_id"])
    return {image["file_name"]: frozenset(shown[image["id"]]) for image in data["images"]}


def read_list(listing: Path) -> Sequence[str]:
    """Entries of a text file, one a line; empty lines do not count."""
    return [line.strip() for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]


def _keys(image: Mapping[str, Any]) -> tuple[Any, ...]:
    return image["id"], image["file_name"], Path(image["file_name"]).stem
