"""Where the files of a data set lie below the data root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer.datasets.declaration import Declaration, Part, dataset_names, find_declaration
from transfer.datasets.problems import Problem
from transfer.errors import BadOption, MissingData
from transfer.schemas.annotations import annotation_type


@dataclass(frozen=True)
class Split:
    """The files of one split.

    `annotations` is a COCO json (those of VOC say `difficult`) or a folder of label maps `<image stem>.png`; `listing`
    a text file of image stems, None where every annotated image belongs; `classes` the names of the label values of the
    PNGs, empty where the json says them; `problems` what was found while annotations of another form were converted;
    `derived` says that the PNGs were written here, so that their pixels identify them and not the bytes that this
    machine's encoder made; `image_suffix` is what the names of images that have a label map end with.
    """

    images: Path
    annotations: Path
    listing: Path | None = None
    classes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    derived: bool = False
    image_suffix: str = ".jpg"


Pair = tuple[Split, Split]


def find_home(declared: Declaration, annotations: str, root: Path) -> Path:
    """Return the folder in which the images of `declared` and its annotations of one type are.

    Raises UnknownName or BadOption for annotations that the data set lacks, MissingData when a path is not there.
    """
    needed = annotation_type(annotations).name
    _check_available(declared, needed, root)
    below = declared.folder or root
    home = next((below / name for name in declared.homes if (below / name / declared.proof).exists()), None)
    base = home or below / declared.homes[0]
    expected = [base / declared.proof] if declared.proof else []
    expected += [base / path for part in (*declared.train, *declared.test) for path in _paths(part, needed)]
    missing = [path for path in dict.fromkeys(expected) if not path.exists()]
    if missing:
        raise MissingData(_explain(declared, needed, below, missing))
    return base


def tree(declared: Declaration) -> str:
    """The folders and files that the data set is expected to have, as text."""
    first, *others = declared.homes
    also = [name if name != "." else "the data root itself" for name in others]
    lines = [f"{first}/" + (f"   (or {', '.join(also)})" if also else "")]
    paths = {declared.proof} if declared.proof else set()
    for part in (*declared.train, *declared.test):
        paths |= {path for name in declared.annotations for path in _paths(part, name)}
    folders = {parent for path in paths for parent in map(str, Path(path).parents)}
    entries = sorted((folders | paths) - {"."})
    for path in entries:
        slash = "/" if path in folders or not Path(path).suffix else ""
        lines.append(f"{'    ' * len(Path(path).parts)}{Path(path).name}{slash}")
    return "\n".join(lines)


def _paths(part: Part, annotations: str) -> tuple[str, ...]:
    return (part.images, part.annotations[annotations], *([part.listing] if part.listing else []))


def _check_available(declared: Declaration, needed: str, root: Path) -> None:
    if needed not in declared.annotations:
        known = [find_declaration(name, root) for name in dataset_names(root)]
        others = ", ".join(each.name for each in known if needed in each.annotations)
        offers = ", ".join(declared.annotations)
        raise BadOption(f"data set {declared.name!r} has {offers}, not {needed}. Data sets with {needed}: {others}.")


def _explain(declared: Declaration, needed: str, below: Path, missing: list[Path]) -> str:
    absent = "\n".join(f"  - {path}" for path in missing)
    expected = "\n".join(f"  {line}" for line in tree(declared).splitlines())
    where = "Set TRANSFER_DATA to the folder that holds this tree." if declared.folder is None else ""
    return (
        f"data set {declared.name!r} with {needed} is not complete below {below}. Missing:\n{absent}\n"
        f"Expected below it:\n{expected}\n{declared.obtain}\n{where}"
    ).rstrip()
