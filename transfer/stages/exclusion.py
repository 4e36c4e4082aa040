"""Test images that a checkpoint may have seen: left out of the score that ranks, and what they do to the full one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.checkpoints.families import FAMILIES
from transfer.dedup.overlap import VERDICTS, Overlap, TestSet, images_sha256, read_overlap
from transfer.errors import BadOption
from transfer.files.fingerprint import fingerprint
from transfer.schemas.run import CONTROL

UNKNOWN = {"status": "unknown"}
"""Of a checkpoint whose pre-training images nobody has compared with the test images."""


@dataclass(frozen=True)
class Exclusion:
    """What overlap manifests say of one test set.

    `manifests` name the files and corpora; `verdicts` maps an image to the gravest verdict in any of them, where there
    is one. Only images without a verdict are `clean`: a candidate is not known to be new.
    """

    manifests: tuple[Mapping[str, Any], ...]
    images: tuple[str, ...]
    verdicts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Part of the protocol: scores over other images never share a column."""
        return digest_of(self.manifests)

    @property
    def clean(self) -> list[str]:
        """Images that no corpus is known to hold."""
        return [name for name in self.images if name not in self.verdicts]

    @property
    def duplicates(self) -> list[str]:
        """Images that a corpus holds."""
        return [name for name in self.images if self.verdicts.get(name) == "duplicate"]

    @property
    def counts(self) -> dict[str, int]:
        """Images in all, clean ones, and those of each verdict."""
        found = Counter(self.verdicts.values())
        return {"images": len(self.images), "clean": len(self.clean), **{v: found[v] for v in VERDICTS}}


def read_overlaps(paths: Sequence[Path]) -> list[Overlap]:
    """Overlap manifests, each content once. Raises BrokenOverlap."""
    overlaps = {overlap.sha256: overlap for overlap in map(read_overlap, paths)}
    return [overlaps[sha256] for sha256 in sorted(overlaps)]


def exclude(overlaps: Sequence[Overlap], task: str, hashes: Mapping[str, str]) -> Exclusion | None:
    """What `overlaps` say of the test images of a task, given as name → SHA-256; None without overlaps.

    Raises BadOption where a manifest was made for other test images, or leaves none clean.
    """
    if not overlaps:
        return None
    verdicts: dict[str, str] = {}
    for overlap in overlaps:
        for name, verdict in _verdicts(overlap, task, hashes).items():
            verdicts[name] = min(verdict, verdicts.get(name, verdict), key=VERDICTS.index)
    exclusion = Exclusion(tuple(map(_identity, overlaps)), tuple(sorted(hashes)), verdicts)
    if not exclusion.clean:
        raise BadOption(f"--exclude leaves task {task!r} no clean test image of {len(hashes):,}. Check its thresholds.")
    return exclusion


def digest_of(manifests: Sequence[Mapping[str, Any]]) -> str:
    """16 hexadecimal digits that name a set of overlap manifests."""
    return fingerprint(sorted(manifest["sha256"] for manifest in manifests))


def without_measuring(weights: str, certificate: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known of the overlap of a checkpoint's pre-training images where nothing was compared."""
    if weights == CONTROL:
        return {"status": "none by construction", "why": "randomly initialised"}
    family = next((each for each in FAMILIES if certificate and each.name == certificate["family"]), None)
    if family is not None and family.pretraining:
        return {"status": "none by construction", "why": family.pretraining}
    return dict(UNKNOWN)


def _verdicts(overlap: Overlap, task: str, hashes: Mapping[str, str]) -> dict[str, str]:
    """By content, so that the names under which the images were compared do not matter."""
    test = _test_set(overlap, task, hashes)
    found = overlap.verdicts(test.name)
    return {
        name: found.get(sha256, "undecidable")
        for name, sha256 in hashes.items()
        if sha256 in found or name in test.skipped
    }


def _test_set(overlap: Overlap, task: str, hashes: Mapping[str, str]) -> TestSet:
    wanted = images_sha256(hashes.values())
    for test in overlap.tests:
        if test.sha256 == wanted:
            return test
    sets = "; ".join(f"{test.name}: {test.images:,} images, {test.sha256[:12]}" for test in overlap.tests)
    raise BadOption(
        f"--exclude: the overlap with {overlap.corpus['name']!r} was made for other test images than those of task "
        f"{task!r} ({len(hashes):,} images, {wanted[:12]}). It knows {sets}. Run `transfer dedup check` on this suite."
    )


def _identity(overlap: Overlap) -> dict[str, Any]:
    keys = ("name", "images", "sha256")
    return {"sha256": overlap.sha256, "corpus": {key: overlap.corpus[key] for key in keys}}
