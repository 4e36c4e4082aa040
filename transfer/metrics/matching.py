"""Which detections COCOeval takes for hits, image by image: its first half, before it makes one curve of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfer.metrics.coco import Measured, coco_engine
from transfer.metrics.coco_types import CocoType
from transfer.metrics.hotcoco import hot_stats, hotcoco

Bools = NDArray[np.bool_]
Read = Callable[[Path, Path], Measured]


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


def match_coco(what: CocoType, predictions: Path, annotations: Path, read: Read) -> list[Pair]:
    """Match results that are `what` with the annotations; `read` checks files that hotcoco does not take.

    Objects of every size; masks by their own areas. Raises what `read` raises.
    """
    ordinary = hot_stats(what, predictions, annotations) is not None
    return pairs_of(
        _hot_engine(what, predictions, annotations) if ordinary else coco_engine(what, read(predictions, annotations))
    )


def pairs_of(evaluation: Any) -> list[Pair]:
    """Return pairs that have objects or detections, by category and image, which decides between equal scores."""
    return sorted(_pairs(evaluation), key=lambda pair: (pair.category, pair.image))


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


def _hot_engine(what: CocoType, predictions: Path, annotations: Path) -> Any:
    truth = hotcoco.COCO(str(annotations))
    found = truth.load_res(str(predictions))
    if what.masks:  # any area that is within "all", as a mask's own is; that of a box beside it may not be
        ids = found.get_ann_ids()
        found.update_anns(ids=np.array(ids), area=np.zeros(len(ids)))
    return hotcoco.COCOeval(truth, found, what.iou_type)
