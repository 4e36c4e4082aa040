"""Predictions as a folder of label maps beside a folder of true ones: 8-bit PNGs of class indices, of equal names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.errors import BadOption, BrokenAnnotation, BrokenPredictions, CorruptImage, DataError, MissingData
from transfer.metrics.metric import Files, Form

Counts = NDArray[np.int64]
LabelMap = NDArray[np.uint8]

SHOWN = 3
"""Names that a message lists."""

MOST = 1000
"""More classes than a label map can have are refused as so many, whatever was asked for."""


def stems_of(files: Files) -> list[str]:
    """Return the names of the label maps that count, without their ending.

    Raises BadOption for none, and for classes or an ignored label that no label map can have.
    """
    names, classes = _images(files), files.classes
    if not 0 <= files.ignore <= 255:
        raise BadOption(f"expected an ignored label within 0 and 255, got {files.ignore}.")
    if not names:
        raise BadOption("expected at least one label map to score, got none.")
    if not (all(classes) and 0 < len(set(classes)) == len(classes) <= 256):
        raise BadOption(f"expected 1 to 256 different class names, got {len(classes)} ({len(set(classes))} different).")
    return names


class Compared(NamedTuple):
    """A true and a predicted (H, W) label map of one size, and (256, 256) counts of the pairs whose truth counts."""

    truth: LabelMap
    found: LabelMap
    pairs: Counts


def read_pair(files: Files, stem: str) -> Compared:
    """Read a label map and its prediction, which hold labels of classes only.

    Raises MissingData, CorruptImage, BrokenAnnotation or BrokenPredictions.
    """
    paths = files.truth / f"{stem}.png", files.predictions / f"{stem}.png"
    true = _read(paths[0], MissingData, CorruptImage, BrokenAnnotation)
    found = _read(paths[1], BrokenPredictions, BrokenPredictions, BrokenPredictions)
    if found.shape != true.shape:
        raise BrokenPredictions(f"{paths[1]}: expected {_size(true)} pixels as in {paths[0]}, got {_size(found)}.")
    pairs = count_pairs(true, found, files.ignore)
    _check(paths[1], pairs.sum(axis=0), len(files.classes), BrokenPredictions)
    _check(paths[0], pairs.sum(axis=1), len(files.classes), BrokenAnnotation)
    return Compared(true, found, pairs)


def count_pairs(truth: LabelMap, prediction: LabelMap, ignore: int = 255) -> Counts:
    """Count (256, 256) pairs of true and predicted label, but for those whose truth is `ignore`.

    Both bytes make one 16-bit number, which bincount counts.
    """
    numbers = truth.astype(np.uint16) << 8 | prediction
    pairs = np.bincount(numbers.ravel(), minlength=1 << 16).reshape(256, 256)
    pairs[ignore] = 0
    return pairs


def _check(path: Path, counts: Counts, classes: int, error: type[DataError]) -> None:
    if (beyond := np.flatnonzero(counts[classes:])).size:
        label = classes + int(beyond[0])
        raise error(f"{path}: expected labels 0 to {classes - 1}, got {label} in {counts[label]} pixels.")


def _read(path: Path, missing: type[DataError], corrupt: type[DataError], unfit: type[DataError]) -> LabelMap:
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except FileNotFoundError as reason:
        raise missing(f"{path}: expected a label map, found no file. Check that it was written here.") from reason
    except (OSError, SyntaxError, ValueError) as reason:  # Pillow raises SyntaxError on a damaged PNG chunk
        raise corrupt(f"{path}: the label map cannot be decoded: {reason}. Write or download it again.") from reason
    if mode not in ("L", "P"):
        raise unfit(f"{path}: expected an 8-bit PNG of class indices (mode L or P), got mode {mode}.")
    return pixels


def _size(pixels: LabelMap) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"


def _images(files: Files) -> list[str]:
    return _stems(files.truth) if files.images is None else sorted(set(files.images))


def _stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.png"))


def _called(file_name: str) -> str:
    return Path(file_name).stem


@contextmanager
def _part(files: Files, images: Collection[str]) -> Iterator[Files]:
    yield replace(files, images=tuple(images))


def _given(predictions: Path, truth: Path, classes: str | None, ignore: int | None) -> Files:
    if classes is None:
        raise BadOption("label maps need --classes: their number, or their names separated by commas.")
    _check_names(predictions, truth)
    return Files(predictions, truth, tuple(_class_names(classes)), None, 255 if ignore is None else ignore)


def _class_names(text: str) -> Sequence[str]:
    """Split the text: `3` → 0, 1, 2; `sky,road` → sky, road."""
    return [str(number) for number in range(min(int(text), MOST))] if text.isdecimal() else text.split(",")


def _check_names(predictions: Path, truth: Path) -> None:
    """Raise where one folder has a label map that the other lacks."""
    known, found = set(_stems(truth)), set(_stems(predictions))
    if not known:
        raise MissingData(f"{truth}: expected a folder of label maps (*.png), found none. Check the path.")
    for names, lacking, other in ((known - found, predictions, truth), (found - known, truth, predictions)):
        if names:
            some = ", ".join(f"{name}.png" for name in sorted(names)[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            raise BrokenPredictions(
                f"{lacking}: expected the same names as in {other}, {len(names)} of {len(known | found)} are missing: "
                f"{some}. Predict every image, and no others."
            )


LABEL_MAPS = Form("predictions", True, _images, _called, _part, _given)
