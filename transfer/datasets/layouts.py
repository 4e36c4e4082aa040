"""Where the files of a data set lie below the data root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer.datasets.declaration import Declaration, Part, dataset_names, find_declaration
from transfer.datasets.problems import Problem
from transfer.errors import BadOption, MissingData, UnknownName
from transfer.schemas.suite import KINDS


@dataclass(frozen=True)
class Split:
    """The files of one split.

    `annotations` is a COCO json (kinds `bbox`, `segm`, `keypoints`, and `voc`, whose annotations say `difficult`) or a
    folder of label maps `<image stem>.png` (`miou`); `listing` a text file of image stems, None where every annotated
    image belongs; `classes` the names of the label values of the PNGs, empty where the json says them; `problems` what
    was found while annotations of another form were converted; `derived` says that the PNGs were written here, so
    that their pixels identify them and not the bytes that this machine's encoder made; `image_suffix` is what the
    names of images that have a label map end with.
    """

    images: Path
    annotations: Path
    listing: Path | None = None
    classes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    derived: bool = False
    image_suffix: str = ".jpg"


Pair = tuple[Split, Split]


def find_home(declared: Declaration, kind: str, root: Path) -> Path:
    """The folder in which all files that `declared` needs for `kind` are.

    Raises UnknownName or BadOption for a kind that the data set does not have, MissingData when a path is not there.
    """
    _check_kind(declared, kind, root)
    below = declared.folder or root
    home = next((below / name for name in declared.homes if (below / name / declared.proof).exists()), None)
    base = home or below / declared.homes[0]
    expected = [base / declared.proof] if declared.proof else []
    expected += [base / path for part in (*declared.train, *declared.test) for path in _paths(part, kind)]
    missing = [path for path in dict.fromkeys(expected) if not path.exists()]
    if missing:
        raise MissingData(_explain(declared, kind, below, missing))
    return base


def tree(declared: Declaration) -> str:
    """The folders and files that the data set is expected to have, as text."""
    first, *others = declared.homes
    also = [name if name != "." else "the data root itself" for name in others]
    lines = [f"{first}/" + (f"   (or {', '.join(also)})" if also else "")]
    paths = {declared.proof} if declared.proof else set()
    for part in (*declared.train, *declared.test):
        paths |= {path for kind in declared.kinds for path in _paths(part, kind)}
    folders = {parent for path in paths for parent in map(str, Path(path).parents)}
    entries = sorted((folders | paths) - {"."})
    for path in entries:
        slash = "/" if path in folders or not Path(path).suffix else ""
        lines.append(f"{'    ' * len(Path(path).parts)}{Path(path).name}{slash}")
    return "\n".join(lines)


def _paths(part: Part, kind: str) -> tuple[str, ...]:
    return (part.images, part.annotations[kind], *([part.listing] if part.listing else []))


def _check_kind(declared: Declaration, kind: str, root: Path) -> None:
    if kind not in KINDS:
        raise UnknownName.among("kind", kind, KINDS)
    if kind not in declared.kinds:
        known = [find_declaration(name, root) for name in dataset_names(root)]
        others = ", ".join(each.name for each in known if kind in each.kinds)
        offers = ", ".join(declared.kinds)
        raise BadOption(f"data set {declared.name!r} has {offers}, not {kind!r}. Data sets with {kind!r}: {others}.")


def _explain(declared: Declaration, kind: str, below: Path, missing: list[Path]) -> str:
    absent = "\n".join(f"  - {path}" for path in missing)
    expected = "\n".join(f"  {line}" for line in tree(declared).splitlines())
    where = "Set TRANSFER_DATA to the folder that holds this tree." if declared.folder is None else ""
    return (
        f"data set {declared.name!r} for {kind!r} is not complete below {below}. Missing:\n{absent}\n"
        f"Expected below it:\n{expected}\n{declared.obtain}\n{where}"
    ).rstrip()
