"""Mask files of any values, names and folders as label maps `<stem>.png` whose values are class numbers."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.datasets.declaration import VOID
from transfer.datasets.images import IMAGE_SUFFIXES, find_image
from transfer.datasets.problems import Problem
from transfer.progress import with_progress

Lookup = NDArray[np.int16]

UNKNOWN = -1
"""Entry of a lookup table for a value that has no meaning."""


def lookup_of(values: Sequence[int], ignore: Sequence[int], classes: int) -> Lookup:
    """(256,) class number of each mask value: its place in `values` (0, 1, ... where empty), 255 for `ignore`."""
    table = np.full(256, UNKNOWN, np.int16)
    table[[VOID, *ignore]] = VOID
    table[list(values or range(classes))] = np.arange(classes)
    return table


def mask_names(folder: Path, suffix: str) -> dict[str, Path]:
    """Masks below `folder` by their path without `suffix`, POSIX style; in order of name."""
    paths = sorted(folder.rglob(f"*{suffix}"))
    return {path.relative_to(folder).as_posix().removesuffix(suffix): path for path in paths}


def write_label_maps(masks: Mapping[str, Path], lookup: Lookup, folder: Path) -> list[Problem]:
    """Write `<flat name>.png` (8 bit) of every mask; one pass, in parallel. What is wrong is returned, not raised."""
    folder.mkdir()
    work = partial(_write_one, lookup=lookup, folder=folder)
    with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        done = pool.map(work, masks.items())
        problems = with_progress(done, "converting masks", len(masks), "mask")
        return [problem for problem in problems if problem is not None]


def without_mask(images: Path, suffix: str, names: Collection[str]) -> list[Problem]:
    """Images below `images` that none of the masks `names` belongs to, which a half-downloaded folder leaves."""
    found = [path for path in sorted(images.rglob(f"*{suffix}")) if suffix or path.suffix in IMAGE_SUFFIXES]
    lengths = [len(suffix or path.suffix) for path in found]
    stems = [path.relative_to(images).as_posix()[:-length] for path, length in zip(found, lengths, strict=True)]
    alone = [path for path, stem in zip(found, stems, strict=True) if stem not in names]
    return [Problem(f"{path} has no mask", absent=True) for path in alone]


def image_files(images: Path, names: Sequence[str], suffix: str) -> dict[str, Path]:
    """The images of those `names` that have one."""
    paths = {name: images / f"{name}{suffix}" if suffix else find_image(images, name) for name in names}
    return {name: path for name, path in paths.items() if path.exists()}


def link_images(images: Mapping[str, Path], folder: Path) -> None:
    """Make `<flat name><ending>` of every image a link to the original."""
    folder.mkdir()
    for name, path in images.items():
        link = folder / f"{flat(name)}{path.suffix}"
        if not link.is_symlink():
            link.symlink_to(path.resolve())


def flat(name: str) -> str:
    """Name of a label map and its image, without folders: predictions are named after it. City folders repeat their
    names in the files; where a folder tells files apart, it stays.
    """
    folder, _, stem = name.rpartition("/")
    return stem if not folder or stem.startswith(folder.rpartition("/")[2]) else name.replace("/", "__")


def _write_one(item: tuple[str, Path], lookup: Lookup, folder: Path) -> Problem | None:
    name, path = item
    try:
        with Image.open(path) as image:
            mode, values = image.mode, np.asarray(image)
    except FileNotFoundError:
        return Problem(f"{path} is listed but does not exist")
    except (OSError, SyntaxError, ValueError) as error:
        return Problem(f"{path} cannot be decoded: {error}", image=True)
    if mode not in ("L", "P"):
        return Problem(f"{path}: a mask has one channel of 8-bit values; this one is {mode}", image=True)
    labels = lookup[values]
    unknown = np.unique(values[labels == UNKNOWN])
    Image.fromarray(labels.astype(np.uint8)).save(folder / f"{flat(name)}.png")
    return Problem(f"{path} holds the unknown values {', '.join(map(str, unknown))}") if unknown.size else None


def colliding(names: Sequence[str]) -> Iterator[Problem]:
    """Names that would become one file."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(flat(name), name)) != name:
            yield Problem(f"{other} and {name} have one name, {flat(name)}")
