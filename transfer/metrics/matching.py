"""Which detections COCOeval takes for hits, image by image: its first half, before it makes one curve of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from transfer.metrics.coco import Entry, read_predictions, read_truth
from transfer.metrics.hot import hot_stats, hotcoco
from transfer.metrics.plain import Kind
from transfer.metrics.scoring import SCORERS

Bools = NDArray[np.bool_]


class Pair(NamedTuple):
    """An image and a category: the `scores` (D,) of its detections, best first, and how many objects are to be found.

    `hits` (T, D) per threshold of overlap; `ignored` (T, D) are neither hits nor false.
    """

    category: Any
    image: Any
    scores: list[float]
    hits: Bools
    ignored: Bools
    positives: int


def match_coco(kind: Kind, predictions: Path, annotations: Path) -> list[Pair]:
    """Pairs that have objects or detections, in order of category and image, which decides between equal scores.

    Objects of every size; masks by their own areas. Raises BrokenPredictions, BrokenAnnotation or MissingData.
    """
    plain = hot_stats(kind, predictions, annotations) is not None
    engine = _hot_engine if plain else _careful_engine
    return sorted(_pairs(engine(kind, predictions, annotations)), key=lambda pair: (pair.category, pair.image))


def _pairs(evaluation: Any) -> Iterator[Pair]:
    evaluation.params.areaRng = evaluation.params.areaRng[:1]  # "all": sizes are nobody's question here
    evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    thresholds = len(evaluation.params.iouThrs)
    for entry in filter(None, evaluation.evalImgs):
        # hotcoco says which are matched; pycocotools with what, and its ids begin at 1
        matched, ignored = (
            np.array(entry[key], bool).reshape(thresholds, -1)
            for key in ("dtMatched" if "dtMatched" in entry else "dtMatches", "dtIgnore")
        )
        wanted = len(entry["gtIgnore"]) - sum(entry["gtIgnore"])
        yield Pair(entry["category_id"], entry["image_id"], entry["dtScores"], matched & ~ignored, ignored, int(wanted))


def _hot_engine(kind: Kind, predictions: Path, annotations: Path) -> Any:
    truth = hotcoco.COCO(str(annotations))
    found = truth.load_res(str(predictions))
    if kind == "segm":  # any area that is within "all", as a mask's own is; that of a box beside it may not be
        ids = found.get_ann_ids()
        found.update_anns(ids=np.array(ids), area=np.zeros(len(ids)))
    return hotcoco.COCOeval(truth, found, kind)


def _careful_engine(kind: Kind, predictions: Path, annotations: Path) -> Any:
    SCORERS[kind](predictions, annotations)  # says what is wrong with the files
    truth = read_truth(annotations, {})
    found = [{**entry, "area": _area(kind, entry)} for entry in read_predictions(predictions, truth, {})]
    return COCOeval(_indexed(truth, truth["annotations"]), _indexed(truth, found), kind)


def _area(kind: Kind, entry: Entry) -> float:
    if kind == "segm":
        return 0.0
    if "bbox" in entry:
        return float(entry["bbox"][2] * entry["bbox"][3])
    xs, ys = entry["keypoints"][0::3], entry["keypoints"][1::3]
    return float((max(xs) - min(xs)) * (max(ys) - min(ys)))


def _indexed(truth: Entry, entries: list[Entry]) -> Any:
    numbered = [{**entry, "id": number} for number, entry in enumerate(entries, start=1)]
    index = COCO()
    index.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": numbered}
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index
