"""What is known of a data set, for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from transfer.datasets.declaration import Declaration, Part, dataset_names, find_declaration
from transfer.datasets.layouts import Pair, find_home, tree
from transfer.datasets.manifest import Manifest
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import also_in_train, check_splits
from transfer.datasets.problems import gather
from transfer.errors import MissingData
from transfer.schemas.annotations import annotation_type

LISTED = 5
"""Names of one note."""

Look = Callable[[str, Pair, tuple[Manifest, Manifest], Path], list[str]]
"""A data set's name, its (train, test) splits, their manifests, and a folder to remember things in → notes."""


def check_dataset(
    declared: Declaration, annotations: tuple[str, ...], root: Path, work: Path, look: Look | None = None
) -> dict[str, Any]:
    """Check both splits for each type of `annotations`: images, hashes, class counts and notes, as plain values.

    Raises one DataError that lists all problems of all of them. What has been read is remembered below `work`; `look`
    makes further notes on splits that are well.
    """

    def check(name: str) -> dict[str, Any]:
        splits = open_splits(declared, name, root, work)
        manifests = check_splits(*splits, name, work / "preflight.json")
        checked = _checked(declared, *manifests)
        checked["notes"] += look(f"{declared.name} {name}", splits, manifests, work) if look else []
        return checked

    names = tuple(dict.fromkeys(annotation_type(name).name for name in annotations))
    return dict(zip(names, gather(partial(check, name) for name in names), strict=True))


def describe_checked(declared: Declaration, checked: Mapping[str, Any]) -> str:
    """The table of `check_dataset`: images and annotations of both splits, by class."""
    lines = [f"{declared.name}: {declared.title}"]
    for name, found in checked.items():
        train, test = found["train"], found["test"]
        lines.append(f"\n{name + ':':24} {'train':>9} {'test':>9}")
        rows = [("images", train["images"], test["images"])]
        total = [sum(split["counts"].values()) for split in (train, test)]
        rows.append(("images by class" if annotation_type(name).field is None else "annotations", *total))
        rows += [(f"  {label}", count, test["counts"][label]) for label, count in train["counts"].items()]
        lines += [f"  {label:22} {first:>9,} {second:>9,}" for label, first, second in rows]
        lines.append(f"  {'sha256':22} {train['sha256'][:8]:>9} {test['sha256'][:8]:>9}")
        lines += [f"  note: {note}" for note in found["notes"]]
    return "\n".join([*lines, "\nnothing is wrong"])


def describe_dataset(declared: Declaration, root: Path) -> str:
    """Where the data set is expected, how to obtain it, its terms, and what of it is there."""
    where = declared.folder or root
    counts = " to train on, ".join(_count(parts) for parts in (declared.train, declared.test)) + " to test on"
    classes = f"Classes: {len(declared.classes)} ({', '.join(declared.classes)})\n" if declared.classes else ""
    states = "\n".join(f"  {name:10} {_state(declared, name, root)}" for name in declared.annotations)
    expected = "\n".join(f"  {line}" for line in tree(declared).splitlines())
    return (
        f"{declared.name}: {declared.title}\n\n{declared.obtain}\n\nTerms: {declared.licence or 'not stated'}\n"
        f"Images: {counts}\n{classes}\nExpected below {where}:\n{expected}\n\n{states}"
    )


def list_datasets(root: Path) -> str:
    """Return one line for each data set: annotations, title, and whether it is there."""
    known = [find_declaration(name, root) for name in dataset_names(root)]
    return "\n".join(
        f"{d.name:14} {', '.join(d.annotations):36} {_state(d, d.annotations[0], root).partition(' ')[0]:8} {d.title}"
        for d in known
    )


def _checked(declared: Declaration, train: Manifest, test: Manifest) -> dict[str, Any]:
    splits = {"train": (train, declared.train), "test": (test, declared.test)}
    notes = [note for name, (manifest, parts) in splits.items() for note in _notes(name, manifest, parts)]
    if same := also_in_train(train, test):
        names = ", ".join(same[:LISTED]) + (", …" if len(same) > LISTED else "")
        notes.append(f"{len(same)} images of test have the same bytes as one of train: {names}")
    return {name: _summary(manifest) for name, (manifest, _) in splits.items()} | {"notes": notes}


def _summary(manifest: Manifest) -> dict[str, Any]:
    counts = dict(zip_longest(manifest.classes, manifest.counts, fillvalue=0))
    return {"images": manifest.images, "sha256": manifest.sha256, "counts": counts}


def _notes(name: str, manifest: Manifest, parts: tuple[Part, ...]) -> list[str]:
    published = sum(part.count or 0 for part in parts)
    if not published or published == manifest.images:
        return []
    return [
        f"{name} has {manifest.images:,} images, the published data set {published:,}: a part of it, or another one"
    ]


def _count(parts: tuple[Part, ...]) -> str:
    total = sum(part.count or 0 for part in parts)
    return f"{total:,}" if total else "any number"


def _state(declared: Declaration, annotations: str, root: Path) -> str:
    if declared.name == "mini" and declared.folder is None:
        return "embedded"
    try:
        return f"found in {find_home(declared, annotations, root)}"
    except MissingData as error:
        missing = [line.strip(" -") for line in str(error).splitlines() if line.startswith("  - ")]
        return f"missing {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
