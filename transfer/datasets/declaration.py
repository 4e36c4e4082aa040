"""A data set as data: one short TOML says where its files lie, what they mean and how to obtain them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer.errors import BadOption, UnknownName
from transfer.files.places import configs
from transfer.schemas.annotations import ALIASES, ANNOTATIONS, annotation_type
from transfer.schemas.suite import is_suite

LAYOUTS: Mapping[str, str] = {"coco": "boxes", "voc-xml": "boxes", "masks": "label_maps"}
"""Known layouts, and the annotations of a data set that names one path as such."""

VOID = 255
"""Label value that no score counts and no loss sees."""

_KEYS: Mapping[str, type] = {
    **dict.fromkeys(("title", "layout", "proof", "obtain", "licence", "image_suffix", "mask_suffix"), str),
    **dict.fromkeys(("homes", "classes", "values", "ignore"), list),
}
_PART_KEYS: Mapping[str, type] = {"images": str, "annotations": object, "list": str, "count": int}


@dataclass(frozen=True)
class Part:
    """Files of a split, as paths below the data set's folder: images, annotations by type, and the list of those used.

    `count` is the number of images that the publishers give, None where it is not known.
    """

    images: str
    annotations: Mapping[str, str]
    listing: str | None = None
    count: int | None = None


@dataclass(frozen=True)
class Declaration:
    """What a data set's TOML says.

    `homes` are the folders in which it may lie, in order of preference, below `folder` (None: the data root); `proof`
    is what must be in a home for it to be taken. `values` are the label values of the `classes` in mask files, `ignore`
    further values that mean nothing; a mask belongs to the image whose name is equal but for the suffixes. A split of
    several parts is their union.
    """

    name: str
    title: str
    layout: str
    train: tuple[Part, ...]
    test: tuple[Part, ...]
    homes: tuple[str, ...] = (".",)
    proof: str = ""
    classes: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()
    image_suffix: str = ""
    mask_suffix: str = ".png"
    obtain: str = ""
    licence: str = ""
    folder: Path | None = field(default=None, compare=False)

    @property
    def annotations(self) -> tuple[str, ...]:
        """Types of annotations that every part has."""
        parts = (*self.train, *self.test)
        return tuple(name for name in ANNOTATIONS if all(name in part.annotations for part in parts))


def dataset_names(root: Path | None = None) -> list[str]:
    """Names of the data sets that come with the package, and of the user's (`*.toml` in the data root)."""
    theirs = () if root is None else (path for path in root.glob("*.toml") if not is_suite(path))
    return sorted({path.stem for path in (*(configs() / "datasets").glob("*.toml"), *theirs)})


def find_declaration(name: str, root: Path) -> Declaration:
    """The data set called `name`: one of ours, `<name>.toml` in the data `root`, or the path of such a file.

    Raises UnknownName with the nearest names, BadOption where the file says nothing sensible.
    """
    if name in dataset_names():
        return load_declaration(configs() / "datasets" / f"{name}.toml")
    theirs = Path(name) if name.endswith(".toml") else root / f"{name}.toml"
    if theirs.is_file():
        return load_declaration(theirs, theirs.resolve().parent)
    raise UnknownName.among("data set", name, dataset_names(root))


def load_declaration(path: Path, folder: Path | None = None) -> Declaration:
    """Read one TOML. Raises BadOption that names the file, the key, and what was expected."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        if "tasks" in data:
            raise BadOption(f"{path} is a suite, not a data set. Evaluate on it: transfer eval CKPT {path}")
        return _declaration(path.stem, data, folder)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"{path} is not valid TOML: {error}") from error
    except ValueError as error:
        raise BadOption(f"{path}: {error}. See docs/datasets.md.") from error


def _declaration(name: str, data: dict[str, Any], folder: Path | None) -> Declaration:
    parts = {split: data.pop(split, None) for split in ("train", "test")}
    _check_keys(data, _KEYS, "")
    layout = str(data.get("layout"))
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, found {layout!r}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value.strip() for key, value in data.items()
    }
    splits: dict[str, Any] = {split: _parts(split, part, LAYOUTS[layout]) for split, part in parts.items()}
    declaration = Declaration(name=name, folder=folder, **({"title": name} | values | splits))
    _check_meaning(declaration)
    return declaration


def _parts(split: str, given: Any, default: str) -> tuple[Part, ...]:
    tables = [given] if isinstance(given, dict) else given
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"[{split}] is missing: a table with images and annotations")
    return tuple(_part(split, table, default) for table in tables)


def _part(split: str, table: dict[str, Any], default: str) -> Part:
    _check_keys(table, _PART_KEYS, f"[{split}] ")
    absent = [key for key in ("images", "annotations") if key not in table]
    if absent:
        raise ValueError(f"[{split}] has no {' and no '.join(absent)}")
    annotations = table["annotations"]
    annotations = {default: annotations} if isinstance(annotations, str) else _by_type(split, annotations)
    return Part(table["images"], annotations, table.get("list"), table.get("count"))


def _by_type(split: str, given: Any) -> dict[str, str]:
    """Paths by type of annotations; former spellings mean a type, too."""
    if not isinstance(given, dict) or not all(isinstance(path, str) for path in given.values()):
        raise ValueError(f"[{split}] annotations must be a path, or a table of paths by type")
    spelled: dict[str, str] = {}
    for key in given:
        if key not in (*ANNOTATIONS, *ALIASES):
            raise ValueError(f"[{split}] annotations: expected {', '.join(ANNOTATIONS)}, found {key!r}")
        other = spelled.setdefault(annotation_type(key).name, key)
        if given[other] != given[key]:
            name = annotation_type(key).name
            raise ValueError(f"[{split}] annotations: {other} and {key} both mean {name}; name one file, as {name}")
    return {name: given[key] for name, key in spelled.items()}


def _check_keys(table: Mapping[str, Any], known: Mapping[str, type], where: str) -> None:
    for key, value in table.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"{where}there is no key {key!r}{hint} Known: {', '.join(known)}")
        if not isinstance(value, known[key]):
            raise ValueError(f"{where}{key} must be a {known[key].__name__}, found {value!r}")


def _check_meaning(declared: Declaration) -> None:
    if not declared.annotations:
        raise ValueError("train and test have no type of annotations in common")
    if declared.classes and not all(isinstance(name, str) for name in declared.classes):
        raise ValueError("classes must be strings")
    if not declared.classes and (declared.layout == "voc-xml" or "label_maps" in declared.annotations):
        raise ValueError("classes are missing: the names of the objects, or of the label values in their order")
    if len(set(declared.classes)) < len(declared.classes):
        raise ValueError("classes holds a name twice")
    _check_values(declared)


def _check_values(declared: Declaration) -> None:
    values = (*declared.values, *declared.ignore)
    if not all(type(value) is int and 0 <= value <= VOID for value in values):
        raise ValueError(f"values and ignore must be integers from 0 to {VOID}")
    if declared.values and len(declared.values) != len(declared.classes):
        raise ValueError(f"values must name one label value per class: {len(declared.classes)}")
    if len(set(values)) < len(values):
        raise ValueError("a label value occurs twice in values and ignore")
