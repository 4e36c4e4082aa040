"""All detections of a test set in order of score, and which of them are hits: what curves are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.metrics.coco import Entry, read_predictions, read_truth
from transfer.metrics.matching import match_coco
from transfer.metrics.plain import Kind
from transfer.metrics.voc import THRESHOLDS, Matches, match

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Places = Mapping[Any, int]
"""Image ids, and where each image stands in the arrays."""


@dataclass(frozen=True)
class Ranking:
    """D detections of N images and K categories, category after category, best score first, at T thresholds.

    `images` (D,) and `categories` (D,) of them; `hits` (T, D), and `ignored` (T, D), which count neither as hits nor as
    false; `positives` (N, K): objects to be found.
    """

    images: Indices
    categories: Indices
    hits: Bools
    ignored: Bools
    positives: Floats


def rank_coco(kind: Kind, predictions: Path, truth: Path, places: Places) -> Ranking:
    """Matches as COCOeval makes them, in the order in which it accumulates them. Raises as `match_coco` does."""
    pairs = match_coco(kind, predictions, truth)
    images = np.array([places[pair.image] for pair in pairs], np.intp)
    ids, numbers = np.unique([pair.category for pair in pairs], return_inverse=True)
    positives = np.zeros((len(places), len(ids)))
    positives[images, numbers] = [pair.positives for pair in pairs]
    counts = [len(pair.scores) for pair in pairs]
    images, categories = np.repeat(images, counts), np.repeat(numbers, counts)
    scores = np.array([score for pair in pairs for score in pair.scores], np.float64)
    order = np.lexsort((-scores, categories))  # stable
    hits, ignored = _joined(pair.hits for pair in pairs), _joined(pair.ignored for pair in pairs)
    return Ranking(images[order], categories[order], hits[:, order], ignored[:, order], positives)


def rank_voc(predictions: Path, truth: Path, places: Places) -> Ranking:
    """Matches as `score_voc` makes them, at each of its thresholds. Raises as it does."""
    known = read_truth(truth, {"bbox": 4, "difficult": 0})
    found = read_predictions(predictions, known, {"bbox": 4, "score": 0})
    numbers = {category["id"]: number for number, category in enumerate(known["categories"])}
    ranked = _by_category(sorted(found, key=lambda entry: -entry["score"]), numbers)
    matches = [match(*each) for each in zip(_by_category(known["annotations"], numbers), ranked, strict=True)]
    outcomes = [_outcomes(each) for each in matches]
    hits, ignored = _joined(pair[0] for pair in outcomes), _joined(pair[1] for pair in outcomes)
    positives = np.zeros((len(places), len(numbers)))
    for entry in known["annotations"]:
        positives[places[entry["image_id"]], numbers[entry["category_id"]]] += not entry["difficult"]
    images = np.array([places[entry["image_id"]] for entries in ranked for entry in entries], np.intp)
    categories = np.repeat(np.arange(len(ranked)), [len(entries) for entries in ranked])
    return Ranking(images, categories, hits, ignored, positives)


def _outcomes(matches: Matches) -> tuple[Bools, Bools]:
    """Hits and ignored detections (T, D), as `voc.curve` tells them: of an object's detections the best is the hit."""
    hits, ignored = np.zeros((2, len(THRESHOLDS), len(matches.overlap)), bool)
    for row, threshold in enumerate(THRESHOLDS):
        covering = np.flatnonzero(matches.overlap > threshold)
        ignored[row, covering] = matches.difficult[matches.target[covering]]
        hits[row, covering[np.unique(matches.target[covering], return_index=True)[1]]] = True
    return hits & ~ignored, ignored


def _joined(tables: Iterable[Bools]) -> Bools:
    """(T, D) of all tables (T, d), also of none."""
    return np.concatenate([np.zeros((len(THRESHOLDS), 0), bool), *tables], axis=1)


def _by_category(entries: list[Entry], numbers: Mapping[Any, int]) -> list[list[Entry]]:
    groups: list[list[Entry]] = [[] for _ in numbers]
    for entry in entries:
        groups[numbers[entry["category_id"]]].append(entry)
    return groups
