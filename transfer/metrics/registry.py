"""All metrics, by name."""

from __future__ import annotations

from transfer.errors import UnknownName
from transfer.metrics import boundary, boxes, keypoints, masks, semantic, voc
from transfer.metrics.metric import Metric

METRICS: tuple[Metric, ...] = (
    boxes.METRIC,
    masks.METRIC,
    keypoints.METRIC,
    voc.METRIC,
    semantic.METRIC,
    *(boundary.BOUNDARY_MIOU, boundary.BOUNDARY_SEGM),
)


def find_metric(name: str) -> Metric:
    """Return the metric called `name`. Raises UnknownName with the nearest names."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    raise UnknownName.among("metric", name, (metric.name for metric in METRICS))
