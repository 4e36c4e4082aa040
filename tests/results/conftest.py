from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from transfer.schemas.record import Record
from transfer.schemas.run import RunSpec


@pytest.fixture
def record() -> Callable[..., Record]:
    """Makes a record; keywords change its run, `scores` its scores."""

    def make(scores: Any = None, **changes: Any) -> Record:
        run = RunSpec(**{
            "checkpoint": "dino_r50", "weights": "ab" * 32, "backbone": {"kind": "resnet", "arch": "resnet50"},
            "input": {"mean": [0.5, 0.5, 0.5]}, "suite": "mini", "task": "detection", "head": "faster_rcnn_fpn",
            "dataset": "mini", "size": "mini", "arguments": {},
            "seed": 0, "overrides": {}, "work": "a1", "protocol": "0123456789abcdef", **changes,
        })  # fmt: skip
        return Record(
            run=run,
            scores={"AP": 0.25, "AP50": 0.5} if scores is None else scores,
            certificate={"coverage": 1.0},
            data={"train": {"sha256": "11", "images": 8}, "test": {"sha256": "22", "images": 4}},
            cost={"fit_seconds": 60.0, "predict_seconds": 2.0, "score_seconds": 1.0, "images_seen": 64},
            environment={"torch": "2.14.1"},
            predictions={"sha256": "33", "files": ["boxes.json"]},
            created="2026-11-21T00:00:00Z",
        )

    return make
