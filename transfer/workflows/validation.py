"""Training images in two parts, to train on and to choose by; the test images are never looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from transfer.datasets.declaration import find_declaration
from transfer.datasets.layouts import Split
from transfer.datasets.manifest import Manifest
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import check_split
from transfer.datasets.validation import SHARE, validation_splits
from transfer.dedup.evidence import Compare, verify_candidates
from transfer.dedup.matching import Search, find_matches, join_shards
from transfer.dedup.sources.pieces import Places
from transfer.workflows.leakage import hash_images


@dataclass(frozen=True)
class TrainingParts:
    """What to train on (`train`) and what to choose by (`validation`), with their manifests in this order."""

    train: Split
    validation: Split
    manifests: tuple[Manifest, Manifest]


def open_validation(
    dataset: str, annotations: str, data_root: Path, work_dir: Path, share: Fraction = SHARE
) -> TrainingParts:
    """Check a data set's training split and cut its validation part off: for hyperparameters and every other choice.

    Raises as `check_split`; BadOption where its images are copies of one another.
    """
    work = work_dir / "data"
    cache = work / "preflight.json"
    split, _ = open_splits(find_declaration(dataset, data_root), annotations, data_root, work)
    alike = near_duplicates(f"{dataset} {annotations} train", split, check_split(split, annotations, cache), work)
    train, validation = validation_splits(split, annotations, work, alike, share)
    return TrainingParts(
        train, validation, (check_split(train, annotations, cache), check_split(validation, annotations, cache))
    )


def near_duplicates(name: str, split: Split, manifest: Manifest, work: Path) -> Iterator[tuple[str, str]]:
    """Yield pairs of images of a checked split that show the same. Hashes are kept below `work`, by content."""
    shards = hash_images(name, split, manifest, work / "hashes")
    images = join_shards((shard.source, shard) for shard in shards)
    places: Places = {shard.source: ("files", split.images.resolve()) for shard in shards}
    found = verify_candidates(find_matches(Search(images), images), Compare(places, places))
    for match in found.matches:
        if match.verdict == "duplicate" and match.test != match.corpus:
            yield match.test[1], match.corpus[1]
