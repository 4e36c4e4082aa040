"""References of the COCO scores: the published definition in plain loops, and pycocotools as its manual uses it."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

THRESHOLDS = [0.5 + 0.05 * step for step in range(10)]
RECALLS = np.linspace(0, 1, 101)
AREAS = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of ground truths with known scores, outside the repository."""
    if "TRANSFER_SHARED_DATA" not in os.environ:
        pytest.skip("TRANSFER_SHARED_DATA is not set")
    return Path(os.environ["TRANSFER_SHARED_DATA"]) / "coco_eval_fixtures"


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, Any], tuple[Path, Path]]:
    """Writes predictions and truth as JSON files, over and over into one folder."""
    folder = tmp_path_factory.mktemp("coco")

    def write(predictions: Any, truth: Any) -> tuple[Path, Path]:
        paths = folder / "predictions.json", folder / "truth.json"
        for path, value in zip(paths, (predictions, truth), strict=True):
            path.write_text(json.dumps(value))
        return paths

    return write


@pytest.fixture(scope="session")
def pycocotools_stats() -> Callable[[str, Any, Any], list[float]]:
    return _pycocotools_stats


def _pycocotools_stats(kind, truth, found):
    """The numbers of COCOeval for lists of entries; both are copied, for pycocotools writes into them."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = copy.deepcopy(truth)
        known.createIndex()
        results = known.loadRes(copy.deepcopy(found)) if found else COCO()  # it cannot load an empty list
        evaluation = COCOeval(known, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


@pytest.fixture(scope="session")
def precision_and_recall() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return _precision_and_recall


def _precision_and_recall(truth, detections, similarity, ignored, area="", limit=100):
    """(10, K) average precision and final recall per threshold and category with something to find."""
    precision, recall = [], []
    for category in sorted(item["id"] for item in truth["categories"]):
        outcomes = [_match_image(truth, detections, image, category, similarity, ignored, AREAS[area], limit)
                    for image in sorted(item["id"] for item in truth["images"])]  # fmt: skip
        wanted = sum(count for _, count in outcomes)
        if wanted:
            curves = [_curve([hit for hits, _ in outcomes for hit in hits[index]], wanted) for index in range(10)]
            precision.append([curve[0] for curve in curves])
            recall.append([curve[1] for curve in curves])
    return np.array(precision).T, np.array(recall).T


def _match_image(truth, detections, image, category, similarity, ignored, area, limit):
    def here(entry):
        return entry["image_id"] == image and entry["category_id"] == category

    objects = [entry for entry in truth["annotations"] if here(entry)]
    found = sorted((entry for entry in detections if here(entry)), key=lambda entry: -entry["score"])
    # the challenge matches up to the largest limit, and cuts afterwards
    regular = [not ignored(entry) and area[0] <= entry["area"] <= area[1] for entry in objects]
    values = [[similarity(entry, target) for target in objects] for entry in found]
    outside = [not area[0] <= entry["area"] <= area[1] for entry in found]
    scores = [entry["score"] for entry in found]
    hits = []
    for threshold in THRESHOLDS:
        labels = _match(values, regular, [entry["iscrowd"] for entry in objects], outside, threshold)
        hits.append(list(zip(scores, labels, strict=True))[:limit])
    return hits, sum(regular)


def _match(values, regular, crowd, outside, threshold):
    """Per detection, best first: True for a hit, False for a false alarm, None for not counted."""
    taken: set[int] = set()
    labels: list[bool | None] = []
    for row, out in zip(values, outside, strict=True):
        open_ = [j for j, value in enumerate(row)
                 if value >= min(threshold, 1 - 1e-10) and (j not in taken or crowd[j])]  # fmt: skip
        choice = [j for j in open_ if regular[j]] or open_
        if choice:
            best = max(choice, key=lambda j: (row[j], j))
            taken.add(best)
            labels.append(True if regular[best] else None)
        else:
            labels.append(None if out else False)
    return labels


def _curve(hits, wanted):
    """Mean over 101 recalls of the best precision at that recall or above, and the final recall."""
    labels = [label for _, label in sorted(hits, key=lambda hit: -hit[0]) if label is not None]
    right = np.cumsum([float(label) for label in labels])
    precision = right / np.arange(1, len(labels) + 1)
    recall = right / wanted
    best = [max((p for p, r in zip(precision, recall, strict=True) if r >= level), default=0.0) for level in RECALLS]
    return float(np.mean(best)), float(recall[-1]) if labels else 0.0
