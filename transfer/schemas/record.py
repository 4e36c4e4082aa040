"""A record: one run's scores and everything needed to trace them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer.schemas.mapping import Fields
from transfer.schemas.run import RunSpec

SCHEMA = 2


@dataclass(frozen=True)
class Record(Fields):
    """A leaderboard cell with its provenance; written as `leaderboard/records/<run.record_name>.json`.

    `scores` are shares (0 to 1; -1 where COCO defines no value); `certificate` is the conversion's (None for the
    control); `data` maps `train` and `test` to manifests (`sha256`, `images`); `cost` holds `fit_seconds`,
    `predict_seconds`, `score_seconds` and `images_seen`; `environment` versions, commit, device and world size;
    `predictions` the `sha256` and `files` of what was scored.

    `overlap` says whether the pre-training images hold test images: its `status` is `unknown`, `none by construction`
    (and `why`), or `measured`. Of a run with excluded images, whose `scores` are those of the clean ones, it holds the
    `manifests`, `counts` of images by verdict, `full` and `duplicate` scores, and the `gap` of full and clean by score.
    """

    run: RunSpec
    scores: Mapping[str, float]
    certificate: Mapping[str, Any] | None
    data: Mapping[str, Any]
    cost: Mapping[str, float]
    environment: Mapping[str, Any]
    predictions: Mapping[str, Any]
    created: str
    schema: int = SCHEMA
    overlap: Mapping[str, Any] = field(default_factory=lambda: {"status": "unknown"})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Inverse of `to_json`; schema checks live in `transfer.results`."""
        return cls(**{**data, "run": RunSpec.from_json(data["run"])})
