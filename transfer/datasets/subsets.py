"""Parts of a training set for low-shot and label-efficiency runs: nested, class-covering, fixed by image names."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from transfer.datasets.derived import derive
from transfer.datasets.layouts import Split
from transfer.datasets.memo import Memo
from transfer.datasets.preflight import inspect_maps, stems_of
from transfer.datasets.problems import Problem
from transfer.datasets.selection import labels_by_image, write_selected
from transfer.errors import BadOption
from transfer.schemas.annotations import AnnotationType, annotation_type

Labels = Mapping[str, frozenset[int]]
"""Classes that each image shows, by image name."""


@dataclass(frozen=True)
class Amount:
    """How much of a training set: a share of its images, or so many images of each class."""

    share: Fraction | None = None
    per_class: int | None = None

    def __str__(self) -> str:
        """One spelling of each amount: `10%`, `0.5%`, `5pc`."""
        return f"{self.per_class}pc" if self.share is None else f"{float(self.share * 100):g}%"


@dataclass(frozen=True)
class Subset:
    """Names of the chosen images, and what a smaller or rarer class than asked for leaves short, in words."""

    names: frozenset[str]
    shortfalls: tuple[str, ...]


def read_amount(text: str) -> Amount:
    """`10%`, `0.5%`, `5pc` or `5 per class`. Raises BadOption for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|pc|per class)\s*", text)
    number, unit = found.groups() if found else ("0", "")
    if unit == "%" and 0 < Fraction(number) <= 100:
        return Amount(share=Fraction(number) / 100)
    if unit in ("pc", "per class") and number.isdecimal() and int(number) > 0:
        return Amount(per_class=int(number))
    raise BadOption(
        f"--subset takes a share of the training images, as 10%, or images per class, as 5pc; not {text!r}."
    )


def choose(labels: Labels, amount: Amount) -> Subset:
    """Part of the images that show a class; those that show none would teach nothing, and are not counted.

    Images stand in an order that their names alone decide: first those that show classes not yet shown, most of them
    first, then all others, by the SHA-256 of the name. A share is a beginning of that order, so a smaller one lies
    inside a larger one; of k images per class each class takes its first k. The order of `labels`, and anybody's random
    numbers, change nothing.
    """
    order = _order({name: shown for name, shown in labels.items() if shown})
    if amount.share is not None:
        chosen = order[: _count(amount.share, len(order))]
        wanted = 1
    else:
        wanted = amount.per_class or 1
        chosen = _first_of_each(order, labels, wanted)
    available, shown = (Counter(label for name in names for label in labels[name]) for names in (order, chosen))
    absent = sorted(label for label in available if not shown[label])
    rare = sorted(label for label, count in available.items() if count < wanted and shown[label])
    shortfalls = [f"{len(absent)} of {len(available)} classes have no image"] if absent else []
    shortfalls += [f"{len(rare)} classes have fewer than {wanted} images"] if rare else []
    return Subset(frozenset(chosen), tuple(shortfalls))


def subset_of(split: Split, annotations: str, text: str, work: Path) -> tuple[Split, Subset]:
    """Write the part of a checked training split that `text` asks for, as files below `work`."""
    needed = annotation_type(annotations)
    subset = choose(_labels(split, needed, work), read_amount(text))
    if not subset.names:
        raise BadOption(f"--subset {text}: no image of {split.annotations} shows a class.")
    names = sorted(subset.names)

    def write(folder: Path) -> list[Problem]:
        if needed.field is None:
            (folder / "list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        else:
            write_selected(split.annotations, subset.names, folder / "annotations.json")
        return []

    folder = derive(
        work / "derived", "subset", [needed.name, names, str(split.annotations)], [split.annotations], write
    )
    if needed.field is None:
        return replace(split, listing=folder / "list.txt"), subset
    return replace(split, annotations=folder / "annotations.json"), subset


def _labels(split: Split, needed: AnnotationType, work: Path) -> Labels:
    if needed.field is not None:
        return labels_by_image(split.annotations, needed.field)
    stems = stems_of(split)
    memo = Memo(work / "preflight.json")
    facts = inspect_maps(split, stems, memo)
    classes = range(len(split.classes))
    return {
        stem: frozenset(getattr(fact, "labels", ())) & set(classes) for stem, fact in zip(stems, facts, strict=True)
    }


def _order(labels: Labels) -> list[str]:
    """Images that cover all classes, greedily, then the rest; by hash where nothing else decides."""
    rest = sorted(labels, key=_hash)
    missing = set().union(*labels.values()) if labels else set()
    first: list[str] = []
    while missing:
        best = max(rest, key=lambda name: len(labels[name] & missing))  # the first of equals: the smallest hash
        first.append(best)
        missing -= labels[best]
    taken = set(first)
    return first + [name for name in rest if name not in taken]


def _first_of_each(order: list[str], labels: Labels, wanted: int) -> list[str]:
    seen: Counter[int] = Counter()
    chosen = []
    for name in sorted(order, key=_hash):
        if any(seen[label] < wanted for label in labels[name]):
            chosen.append(name)
        seen.update(labels[name])
    return chosen


def _count(share: Fraction, images: int) -> int:
    """Rounded half up, at least one image."""
    return min(images, max(1, int(share * images + Fraction(1, 2))))


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
