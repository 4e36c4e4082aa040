"""Scores of some of a test set's images: what the kind's own scorer says about files that hold nothing else."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from transfer.errors import BadOption, BrokenAnnotation, DataError, UnknownName
from transfer.metrics.coco import Entry, read_predictions, read_truth
from transfer.metrics.masks import score_instances
from transfer.metrics.scoring import SCORERS, SHOWN, Scores
from transfer.metrics.semantic import score_label_maps, scores_of
from transfer.schemas.suite import KINDS


def score_part(
    kind: str, predictions: Path, truth: Path, images: Collection[str], *, classes: Sequence[str] = ()
) -> Scores:
    """Score only `images`: file names of the truth's images, or for the kind `miou` stems of its label maps.

    Predictions and truth are files or folders as the scorer of `kind` (one of KINDS) takes them, `classes` the names of
    a label map's. Returns its shares; of no images, all of them -1 (undefined). Raises UnknownName, BadOption for
    images that the truth lacks, and whatever DataError the scorer raises.
    """
    if kind not in KINDS:
        raise UnknownName.among("kind of predictions", kind, KINDS)
    if kind == "miou":
        return _score_maps(predictions, truth, images, classes)
    known = read_truth(truth, {})
    found = read_predictions(predictions, known, {})
    check_names(images, file_names(truth, known).values(), truth)
    try:
        return _score_files(kind, *_only(known, found, set(images)))
    except DataError:
        score_files(kind, predictions, truth)  # says the same of an entry that the caller can look up
        raise


def score_files(kind: str, predictions: Path, truth: Path) -> Scores:
    """Scores of COCO results as the stage `score` takes them: of `segm`, masks and the boxes beside them."""
    return score_instances(predictions, truth) if kind == "segm" else SCORERS[kind](predictions, truth)


def file_names(path: Path, truth: Entry) -> dict[int | str, str]:
    """`file_name` of every image of an annotation file, by image id. Raises BrokenAnnotation."""
    if nameless := [image["id"] for image in truth["images"] if not isinstance(image.get("file_name"), str)]:
        raise BrokenAnnotation(f"{path}: expected a file_name of every image, image {nameless[0]!r} has none. Add it.")
    return {image["id"]: image["file_name"] for image in truth["images"]}


def label_stems(truth: Path) -> list[str]:
    """Names of a folder's label maps, without their ending, in order."""
    return sorted(path.stem for path in truth.glob("*.png"))


def check_names(images: Iterable[str], known: Iterable[str], truth: Path) -> None:
    """Raise BadOption that lists those of `images` that are none of the `known` names of `truth`."""
    available = set(known)
    if not (unknown := sorted(set(images) - available)):
        return
    some = ", ".join(unknown[:SHOWN]) + (", …" if len(unknown) > SHOWN else "")
    close = difflib.get_close_matches(unknown[0], available, n=1, cutoff=0)
    raise BadOption(
        f"{truth}: expected some of its {len(available)} images, got {len(unknown)} that it lacks: {some}; "
        f"nearest to the first: {close[0] if close else 'none'}. Were they listed for another data set?"
    )


def _score_maps(predictions: Path, truth: Path, stems: Collection[str], classes: Sequence[str]) -> Scores:
    check_names(stems, label_stems(truth), truth)
    if not stems:
        return scores_of(np.zeros((len(classes), len(classes)), np.int64), classes)
    return score_label_maps(predictions, truth, stems=sorted(set(stems)), classes=classes)


def _only(truth: Entry, predictions: list[Entry], images: set[str]) -> tuple[list[Entry], Entry]:
    """Predictions and truth of `images`, in the order they had, which decides between equal scores."""
    kept = [image for image in truth["images"] if image["file_name"] in images]
    ids = {image["id"] for image in kept}
    objects, found = (
        [entry for entry in entries if entry["image_id"] in ids] for entries in (truth["annotations"], predictions)
    )
    return found, {**truth, "images": kept, "annotations": objects}


def _score_files(kind: str, predictions: list[Entry], truth: Entry) -> Scores:
    with TemporaryDirectory() as folder:
        paths = Path(folder, "predictions.json"), Path(folder, "truth.json")
        for path, value in zip(paths, (predictions, truth), strict=True):
            path.write_text(json.dumps(value), encoding="utf-8")
        return score_files(kind, *paths)
