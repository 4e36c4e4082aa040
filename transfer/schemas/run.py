"""A run: one checkpoint, one head on one data set, one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transfer.files.fingerprint import fingerprint
from transfer.schemas.mapping import Fields, plain

CONTROL = "random"
"""Name of the control checkpoint: a random initialisation of the same network."""


@dataclass(frozen=True)
class RunSpec(Fields):
    """Everything that decides a run's numbers.

    `checkpoint` is the name shown in tables, `weights` the SHA-256 of the checkpoint file (`random` for the control);
    `head`, `dataset`, `size` and `arguments` are what the suite binds (a head of the user's own is named by its file
    and has no size); `overrides` are the user's deviations from it (empty for an official row); `work` identifies head
    and data; `protocol` identifies head, data and metric, and is the same for every checkpoint that may share a column.
    `excluded` identifies the overlap manifests whose images are left out of the scores, empty where all count.
    """

    checkpoint: str
    weights: str
    backbone: Mapping[str, Any]
    input: Mapping[str, Any]
    suite: str
    task: str
    head: str
    dataset: str
    size: str
    arguments: Mapping[str, Any]
    seed: int
    overrides: Mapping[str, Any]
    work: str
    protocol: str
    excluded: str = ""

    @property
    def control(self) -> bool:
        """Whether this is a random initialisation."""
        return self.weights == CONTROL

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the predictions: a metric defined anew, or over other images, scores the same again."""
        return fingerprint({key: value for key, value in self.to_json().items() if key not in ("protocol", "excluded")})

    @property
    def origin(self) -> str:
        """Hash of weights, network, input contract and deviations (8 digits): one row of a table."""
        return fingerprint([self.weights, *(plain(self[key]) for key in ("backbone", "input", "overrides"))])[:8]

    @property
    def id(self) -> str:
        """Name of the run directory: `<checkpoint>-<hash>--<suite>-<task>--seed<seed>`.

        The hash covers weights, network, input contract and deviations, so other work gets another name.
        """
        return f"{self.checkpoint}-{self.origin}--{self.suite}-{self.task}--seed{self.seed}"

    @property
    def record_name(self) -> str:
        """Name of the record file: the id and 8 digits of the fingerprint.

        A head or data set that changed, or embedded data drawn otherwise on another platform, stands beside; so do
        scores without some of the test images.
        """
        clean = f"--without-{self.excluded[:8]}" if self.excluded else ""
        return f"{self.id}--{self.fingerprint[:8]}{clean}"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunSpec:
        """Inverse of `to_json`."""
        return cls(**data)
