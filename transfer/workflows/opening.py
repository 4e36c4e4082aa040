"""The data of a suite: each different test set once, with the training images that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transfer.datasets.declaration import find_declaration
from transfer.datasets.layouts import Pair
from transfer.datasets.manifest import Manifest
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import check_splits
from transfer.dedup.overlap import images_sha256
from transfer.files.places import suite_path
from transfer.metrics.registry import find_metric
from transfer.schemas.suite import load_suite


@dataclass(frozen=True)
class OpenedSet:
    """A data set as a task uses it: `name` for people, (train, test) splits and their manifests."""

    name: str
    splits: Pair
    manifests: tuple[Manifest, Manifest]

    @property
    def hashes(self) -> Mapping[str, str]:
        """Test image → SHA-256 of its bytes."""
        return self.manifests[1].hashes

    @property
    def sha256(self) -> str:
        """SHA-256 of the test images' bytes, as overlap manifests name them."""
        return images_sha256(self.hashes.values())


def open_suite(suite: str, data_root: Path, work_dir: Path) -> list[OpenedSet]:
    """Check the data of every task; tasks that test on the same images share one set, the first."""
    found: dict[str, OpenedSet] = {}
    for task in load_suite(suite_path(suite)).tasks:
        metric = find_metric(task.metric)
        declared, work = find_declaration(task.dataset, data_root), work_dir / "data"
        splits, cache = open_splits(declared, metric.annotations, data_root, work), work / "preflight.json"
        manifests = check_splits(*splits, metric.annotations, cache, metric.fields)
        opened = OpenedSet(f"{task.dataset} {metric.annotations}", splits, manifests)
        found.setdefault(opened.sha256, opened)
    return list(found.values())
