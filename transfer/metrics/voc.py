"""Detection as Pascal VOC scores it: 2010's area, 2007's eleven points, and detectron2's mean of the latter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.metrics.coco import Entry, read_predictions, read_truth
from transfer.metrics.curves import Curves, area
from transfer.metrics.metric import UNDEFINED, Files, Metric, Rescorer, Scores
from transfer.metrics.rankings import THRESHOLDS, Bools, Places, Ranking, joined
from transfer.metrics.rescoring import AT_50, AT_75, mean_of
from transfer.metrics.results_file import RESULTS_FILE, places_of

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

VOC_SCORES = ("AP50", "AP50_07", "AP_07", "AP75_07")
RECALLS = np.arange(0, 1.1, 0.1)


@dataclass(frozen=True)
class Matches:
    """A category's detections, best score first: `overlap` with and `target` of the object that each covers best.

    `difficult` says of each object whether it is neither to be found nor missed.
    """

    overlap: Floats
    target: Indices
    difficult: NDArray[np.bool_]

    @property
    def positives(self) -> int:
        """Objects that are to be found."""
        return int((~self.difficult).sum())


def score_voc(predictions: Path, annotations: Path) -> Scores:
    """Score COCO results against a COCO-style file whose annotations carry `difficult` (0 or 1).

    Boxes are xywh = (xmin - 1, ymin - 1, xmax - xmin + 1, ymax - ymin + 1), which makes their plain IoU VOC's.
    Returns `AP50` (area), `AP50_07`, `AP_07`, `AP75_07` and `AP50/<category>`; -1 for a class without objects, which no
    mean counts. Raises BrokenPredictions, BrokenAnnotation or MissingData. Source: the VOC development kits of 2007
    and 2010 (VOCevaldet.m, VOCap.m); detectron2's pascal_voc_evaluation.py for the mean over ten thresholds.
    """
    truth = read_truth(annotations, {"bbox": 4, "difficult": 0})
    found = read_predictions(predictions, truth, {"bbox": 4, "score": 0})
    objects, detections = _grouped(truth["annotations"], "category_id"), _grouped(found, "category_id")
    matches = [
        match(objects.get(category["id"], []), detections.get(category["id"], [])) for category in truth["categories"]
    ]
    areas = [area(*curve(each, THRESHOLDS[0])) if each.positives else UNDEFINED for each in matches]
    points = [
        [eleven_points(*curve(each, threshold)) for threshold in THRESHOLDS] for each in matches if each.positives
    ]
    mean = np.mean(points, axis=0) if points else np.full(len(THRESHOLDS), UNDEFINED)
    first = np.mean([value for value in areas if value != UNDEFINED]) if points else UNDEFINED
    means = map(float, (first, mean[0], mean.mean(), mean[5]))
    names = [f"AP50/{category.get('name', category['id'])}" for category in truth["categories"]]
    return dict(zip((*VOC_SCORES, *names), (*means, *areas), strict=True))


def match(objects: list[Entry], detections: list[Entry]) -> Matches:
    """For every detection the object of its image that it covers best, the first of equals."""
    ranked = sorted(detections, key=lambda entry: -entry["score"])
    images: dict[Any, list[int]] = {}
    for number, item in enumerate(objects):
        images.setdefault(item["image_id"], []).append(number)
    near = [images.get(entry["image_id"], []) for entry in ranked]
    rank = np.repeat(np.arange(len(ranked)), [len(each) for each in near])
    candidate = np.array([number for each in near for number in each], np.intp)
    overlaps = _overlaps(_boxes(objects)[candidate], _boxes(ranked)[rank])
    order = np.lexsort((candidate, -overlaps, rank))
    first, place = np.unique(rank[order], return_index=True)
    overlap, target = np.zeros(len(ranked)), np.full(len(ranked), -1)
    overlap[first], target[first] = overlaps[order][place], candidate[order][place]
    return Matches(overlap, target, np.array([bool(item["difficult"]) for item in objects], bool))


def curve(matches: Matches, threshold: float) -> tuple[Floats, Floats]:
    """Recall and precision after each detection that counts; one of a difficult object is neither hit nor miss.

    Of several detections of an object the best scored one is the hit, the others are false.
    """
    covering = matches.overlap > threshold
    counted = np.ones(len(covering), bool)
    counted[covering] = ~matches.difficult[matches.target[covering]]
    hits = np.zeros(len(covering), bool)
    hits[np.flatnonzero(covering)[np.unique(matches.target[covering], return_index=True)[1]]] = True
    found = np.cumsum(hits[counted], dtype=float)
    return found / matches.positives, found / np.arange(1, len(found) + 1)


def eleven_points(recall: Floats, precision: Floats) -> float:
    """Mean of the best precision at recall 0, 0.1, ... 1 or more (VOC 2007)."""
    return float(sum(precision[recall >= point].max(initial=0) for point in RECALLS) / 11)


def rank_voc(predictions: Path, truth: Path, places: Places) -> Ranking:
    """Rank detections as `score_voc` matches them, at each of its thresholds. Raises as it does."""
    known = read_truth(truth, {"bbox": 4, "difficult": 0})
    found = read_predictions(predictions, known, {"bbox": 4, "score": 0})
    numbers = {category["id"]: number for number, category in enumerate(known["categories"])}
    ranked = _by_category(sorted(found, key=lambda entry: -entry["score"]), numbers)
    matches = [match(*each) for each in zip(_by_category(known["annotations"], numbers), ranked, strict=True)]
    outcomes = [_outcomes(each) for each in matches]
    hits, ignored = joined(pair[0] for pair in outcomes), joined(pair[1] for pair in outcomes)
    positives = np.zeros((len(places), len(numbers)))
    for entry in known["annotations"]:
        positives[places[entry["image_id"]], numbers[entry["category_id"]]] += not entry["difficult"]
    images = np.array([places[entry["image_id"]] for entries in ranked for entry in entries], np.intp)
    categories = np.repeat(np.arange(len(ranked)), [len(entries) for entries in ranked])
    return Ranking(images, categories, hits, ignored, positives)


def _resample(files: Files, names: Sequence[str]) -> Rescorer:
    curves = Curves(rank_voc(files.predictions, files.truth, places_of(files)))

    def rescore(weights: Floats) -> Scores:
        defined, points = curves.positives(weights) > 0, curves.points(weights)
        eleven = curves.means(points, RECALLS)[:, defined]
        values = curves.areas(points)[defined], eleven[AT_50], eleven, eleven[AT_75]
        return dict(zip(VOC_SCORES, map(mean_of, values), strict=True))

    return rescore


def _evaluate(files: Files) -> Scores:
    return score_voc(files.predictions, files.truth)


def _outcomes(matches: Matches) -> tuple[Bools, Bools]:
    """Hits and ignored detections (T, D), as `curve` tells them: of an object's detections the best is the hit."""
    hits, ignored = np.zeros((2, len(THRESHOLDS), len(matches.overlap)), bool)
    for row, threshold in enumerate(THRESHOLDS):
        covering = np.flatnonzero(matches.overlap > threshold)
        ignored[row, covering] = matches.difficult[matches.target[covering]]
        hits[row, covering[np.unique(matches.target[covering], return_index=True)[1]]] = True
    return hits & ~ignored, ignored


def _by_category(entries: list[Entry], numbers: Mapping[Any, int]) -> list[list[Entry]]:
    groups: list[list[Entry]] = [[] for _ in numbers]
    for entry in entries:
        groups[numbers[entry["category_id"]]].append(entry)
    return groups


def _grouped(entries: list[Entry], key: str) -> dict[Any, list[Entry]]:
    groups: dict[Any, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry[key], []).append(entry)
    return groups


def _boxes(entries: list[Entry]) -> Floats:
    return np.array([entry["bbox"] for entry in entries], float).reshape(-1, 4)


def _overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of (N, 4) boxes with as many others, all xywh."""
    start = np.maximum(first[:, :2], second[:, :2])
    end = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    common = np.maximum(end - start, 0).prod(axis=1)
    union = first[:, 2:].prod(axis=1) + second[:, 2:].prod(axis=1) - common
    overlaps: Floats = np.divide(common, union, out=np.zeros_like(common), where=common > 0)
    return overlaps


METRIC = Metric(
    name="voc",
    annotations="boxes",
    fields=("difficult",),
    form=RESULTS_FILE,
    definition=(
        "VOC AP over continuous boxes: area under the curve (2010), 11 points (2007), difficult objects left out"
    ),
    scores=VOC_SCORES,
    headline=VOC_SCORES,
    evaluate=_evaluate,
    resample=_resample,
    ordered=(("AP_07", "AP50_07"), ("AP75_07", "AP50_07")),
    means=(("AP50", "AP50/"),),
)
