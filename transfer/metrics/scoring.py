"""Scores of anyone's predictions by the name of their kind, and as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from transfer.errors import BadOption, BrokenPredictions, MissingData, UnknownName
from transfer.metrics.boxes import score_boxes
from transfer.metrics.keypoints import score_keypoints
from transfer.metrics.masks import score_masks
from transfer.metrics.semantic import UNDEFINED, score_label_maps
from transfer.metrics.voc import score_voc
from transfer.schemas.suite import KINDS

Scores = dict[str, float]

SCORERS: Mapping[str, Callable[[Path, Path], Scores]] = {
    "bbox": score_boxes,
    "segm": score_masks,
    "keypoints": score_keypoints,
    "voc": score_voc,
}
"""What scores a COCO results file against an annotation file."""

SHOWN = 3

MOST = 1000
"""More classes than a label map can have are refused as so many, whatever was asked for."""


def score_anything(
    kind: str, predictions: Path, truth: Path, classes: str | None = None, ignore: int | None = None
) -> Scores:
    """Score two files, or for the kind `miou` two folders of label maps of equal names.

    `classes` is the number of classes or their names, separated by commas; `ignore` the label that does not count
    (255); both belong to label maps only. Raises UnknownName, BadOption or DataError.
    """
    if kind not in KINDS:
        raise UnknownName.among("kind of predictions", kind, KINDS)
    if kind != "miou":
        if classes is not None or ignore is not None:
            raise BadOption(f"--classes and --ignore are for label maps (--metric miou), not for {kind}.")
        return SCORERS[kind](predictions, truth)
    if classes is None:
        raise BadOption("--metric miou needs --classes: their number, or their names separated by commas.")
    stems = _stems(predictions, truth)
    names = _class_names(classes)
    return score_label_maps(predictions, truth, stems=stems, classes=names, ignore=255 if ignore is None else ignore)


def table(scores: Mapping[str, float]) -> str:
    """Percentages, one score a line; below them those of the classes (`<score>/<class>`), one class a line."""
    means = {name: value for name, value in scores.items() if "/" not in name}
    lines = [f"{name:10} {_percent(value)}" for name, value in means.items()]
    columns = list(dict.fromkeys(name.partition("/")[0] for name in scores if "/" in name))
    rows = dict.fromkeys(name.partition("/")[2] for name in scores if "/" in name)
    if not columns:
        return "\n".join(lines)
    width = max(len("class"), *map(len, rows))
    lines += ["", " ".join([f"{'class':{width}}", *(f"{column:>7}" for column in columns)])]
    for row in rows:
        values = (_percent(scores[f"{column}/{row}"]) for column in columns)
        lines.append(" ".join([f"{row:{width}}", *values]))
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{'—':>7}" if value == UNDEFINED else f"{100 * value:7.2f}"


def _class_names(text: str) -> list[str]:
    """`3` → 0, 1, 2; `sky,road` → sky, road."""
    return [str(number) for number in range(min(int(text), MOST))] if text.isdecimal() else text.split(",")


def _stems(predictions: Path, truth: Path) -> list[str]:
    """The common names of all label maps; a folder that has more than the other is an error that names them."""
    known = {path.stem for path in truth.glob("*.png")}
    if not known:
        raise MissingData(f"{truth}: expected a folder of label maps (*.png), found none. Check the path.")
    found = {path.stem for path in predictions.glob("*.png")}
    for names, lacking, other in ((known - found, predictions, truth), (found - known, truth, predictions)):
        if names:
            some = ", ".join(f"{name}.png" for name in sorted(names)[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            raise BrokenPredictions(
                f"{lacking}: expected the same names as in {other}, {len(names)} of {len(known | found)} are missing: "
                f"{some}. Predict every image, and no others."
            )
    return sorted(known)
