"""A data set's splits, ready for preflight: found where they lie, converted where they have a form of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from transfer.datasets.declaration import Declaration, Part
from transfer.datasets.derived import derive, problems_of
from transfer.datasets.images import find_image, suffix_of
from transfer.datasets.layouts import Pair, Split, find_home
from transfer.datasets.masks import (
    colliding,
    image_files,
    link_images,
    lookup_of,
    mask_names,
    without_mask,
    write_label_maps,
)
from transfer.datasets.mini.generate import generate_mini
from transfer.datasets.problems import Problem
from transfer.datasets.selection import read_list, write_listed
from transfer.datasets.voc_xml import coco_of_voc
from transfer.errors import BadOption
from transfer.schemas.annotations import AnnotationType, annotation_type


def open_splits(declared: Declaration, annotations: str, root: Path, work: Path) -> Pair:
    """Return (train, test) splits of `declared` with annotations of one type; what is derived goes below `work`.

    Data lie below `root`. Raises UnknownName or BadOption for annotations that the data set does not have, MissingData
    when a path is not there. Contradictions inside the files are left to preflight, which lists all of them.
    """
    if declared.name == "mini" and declared.folder is None:  # drawn, and so never looked for among the user's data
        generate_mini(work / "mini")
        root = work
    base, needed = find_home(declared, annotations, root), annotation_type(annotations)
    train, test = (_open(declared, needed, base, parts, work / "derived") for parts in (declared.train, declared.test))
    return train, test


def _open(declared: Declaration, needed: AnnotationType, base: Path, parts: Sequence[Part], home: Path) -> Split:
    if needed.field is None:
        return _label_maps(declared, needed, base, _only(declared, parts), home)
    if declared.layout == "voc-xml":
        return _voc(declared, needed, base, parts, home)
    return _coco(declared, needed, base, _only(declared, parts), home)


def _only(declared: Declaration, parts: Sequence[Part]) -> Part:
    if len(parts) > 1:
        raise BadOption(f"data set {declared.name!r}: only VOC's XML can be put together from several parts.")
    return parts[0]


def _coco(declared: Declaration, needed: AnnotationType, base: Path, part: Part, home: Path) -> Split:
    images, source = base / part.images, base / part.annotations[needed.name]
    if part.listing is None:
        return Split(images, source)
    listing = base / part.listing

    def write(folder: Path) -> list[Problem]:
        return write_listed(source, listing, folder / "annotations.json")

    folder = derive(home, declared.name, "list", [source, listing], write)
    return Split(images, folder / "annotations.json", problems=problems_of(folder))


def _voc(declared: Declaration, needed: AnnotationType, base: Path, parts: Sequence[Part], home: Path) -> Split:
    """One COCO-style json; images are named from the data set's folder, so that several years stand together."""
    files = list(chain.from_iterable(_xml_files(base, part, part.annotations[needed.name]) for part in parts))

    def write(folder: Path) -> list[Problem]:
        truth, problems = coco_of_voc(files, declared.classes)
        (folder / "annotations.json").write_text(json.dumps(truth), encoding="utf-8")
        return problems + list(_repeated(name for _, name in files))

    meaning = [declared.classes, [name for _, name in files]]
    folder = derive(home, declared.name, meaning, [path for path, _ in files], write)
    return Split(base, folder / "annotations.json", problems=problems_of(folder))


def _xml_files(base: Path, part: Part, annotations: str) -> Iterable[tuple[Path, str]]:
    folder = base / annotations
    stems = sorted(path.stem for path in folder.glob("*.xml"))
    if part.listing is not None:
        stems = [Path(entry).stem for entry in read_list(base / part.listing)]
    for stem in stems:
        image = find_image(base / part.images, stem)
        yield folder / f"{stem}.xml", image.relative_to(base).as_posix()


def _repeated(names: Iterable[str]) -> Iterable[Problem]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield Problem(f"{name} is listed more than once")
        seen.add(name)


def _label_maps(declared: Declaration, needed: AnnotationType, base: Path, part: Part, home: Path) -> Split:
    images, masks = base / part.images, base / part.annotations[needed.name]
    listing = None if part.listing is None else base / part.listing
    suffix = declared.mask_suffix
    found = mask_names(masks, suffix)
    alone = without_mask(images, declared.image_suffix, found) if listing is None else []
    if _plain(declared, masks):
        plain = Split(images, masks, listing, declared.classes, tuple(alone))
        return replace(plain, image_suffix=suffix_of(find_image(images, stem) for stem in _stems(found, listing)))
    if listing is not None:
        found = {entry: masks / f"{entry}{suffix}" for entry in read_list(listing)}
    linked = image_files(images, list(found), declared.image_suffix)
    lookup = lookup_of(declared.values, declared.ignore, len(declared.classes))

    def write(folder: Path) -> list[Problem]:
        link_images(linked, folder / "images")
        return [*colliding(list(found)), *write_label_maps(found, lookup, folder / "maps")]

    meaning = [lookup.tolist(), list(found), {name: str(path.resolve()) for name, path in linked.items()}]
    folder = derive(home, declared.name, meaning, list(found.values()), write)
    problems = *alone, *problems_of(folder)
    return Split(folder / "images", folder / "maps", None, declared.classes, problems, True, suffix_of(linked.values()))


def _stems(masks: Iterable[str], listing: Path | None) -> Iterable[str]:
    return masks if listing is None else read_list(listing)


def _plain(declared: Declaration, masks: Path) -> bool:
    """Whether the masks are label maps already: class numbers, called as their images, in one folder."""
    renamed = declared.values or declared.ignore or declared.image_suffix or declared.mask_suffix != ".png"
    return not renamed and not any(path.is_dir() for path in masks.iterdir())
