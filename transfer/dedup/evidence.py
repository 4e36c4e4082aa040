"""Verify candidates: pairs that a hash or descriptor finds likely become duplicates or are rejected by pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from transfer.dedup.matching import Found, Match, Name, Verdict
from transfer.dedup.sources.inputs import read_images
from transfer.dedup.sources.pieces import Places
from transfer.dedup.verifying import SAME, similarity
from transfer.errors import CorruptImage

UPRIGHT = ("none", "flip")
"""Transforms under which a pair is compared that only a descriptor found: descriptors do not tell rotations."""

Content = tuple[Name, str]
"""An image's name and the SHA-256 of its bytes: a name may stand in an archive twice, or for something new by now."""


def verify_candidates(found: Found, compare: Compare) -> Found:
    """Compare every candidate whose images are on this machine; rejected ones are counted and left out."""
    judged = {
        _images(match): match
        for group in candidates_by_source(found.matches, compare.corpus)
        for match in compare(group)
    }
    matches = [judged.get(_images(match), match) for match in found.matches]
    left = tuple(match for match in matches if match.verdict != "rejected")
    return replace(found, matches=left, rejected=found.rejected + len(matches) - len(left))


def candidates_by_source(matches: Iterable[Match], corpus: Places) -> list[tuple[Match, ...]]:
    """Group candidates whose corpus image is on this machine by its source."""
    groups: dict[str, list[Match]] = {}
    for match in matches:
        if match.verdict == "candidate" and match.corpus[0] in corpus:
            groups.setdefault(match.corpus[0], []).append(match)
    return [tuple(groups[source]) for source in sorted(groups)]


@dataclass(frozen=True)
class Compare:
    """Compares candidates of one source, and returns them with verdicts if their images are still those hashed.

    Archives are read once: of the corpus images one after the other, of the test images all that are needed.
    """

    tests: Places
    corpus: Places

    def __call__(self, matches: Sequence[Match]) -> list[Match]:
        """Compare each pair."""
        waiting: dict[tuple[str, str], list[Match]] = {}
        for match in matches:
            waiting.setdefault((match.corpus[1], match.corpus_sha256), []).append(match)
        archived = self._archived({match.test for match in matches})
        done: list[Match] = []
        for name, data in read_images(*self.corpus[matches[0].corpus[0]], {name for name, _ in waiting}):
            if not isinstance(data, CorruptImage):
                pairs = waiting.pop((name, hashlib.sha256(data).hexdigest()), ())
                done += [_decide(match, self._test(match, archived), data) for match in pairs]
        return done + [match for rest in waiting.values() for match in rest]

    def _archived(self, names: set[Name]) -> dict[Content, bytes]:
        found: dict[Content, bytes] = {}
        for owner, (kind, path) in self.tests.items():
            wanted = {image for each, image in names if each == owner}
            if kind != "files" and wanted:
                found |= {
                    ((owner, image), hashlib.sha256(data).hexdigest()): data
                    for image, data in read_images(kind, path, wanted)
                    if not isinstance(data, CorruptImage)
                }
        return found

    def _test(self, match: Match, archived: dict[Content, bytes]) -> bytes | None:
        """Return the bytes that were hashed, if they are still there."""
        (owner, image), sha256 = match.test, match.test_sha256
        kind, path = self.tests[owner]
        if kind != "files":
            return archived.get((match.test, sha256))
        ((_, data),) = read_images(kind, path, [image])
        return None if isinstance(data, CorruptImage) or hashlib.sha256(data).hexdigest() != sha256 else data


def _images(match: Match) -> tuple[Content, Content]:
    return (match.test, match.test_sha256), (match.corpus, match.corpus_sha256)


def _decide(match: Match, test: bytes | None, corpus: bytes) -> Match:
    """Judge a candidate; it stays one where an image is gone or unreadable."""
    if test is None:
        return match
    ways = UPRIGHT if match.evidence == "descriptor" else (match.transform,)
    try:
        alike, transform = max((similarity(test, corpus, way), way) for way in ways)
    except CorruptImage:
        return match
    verdict: Verdict = "duplicate" if alike >= SAME else "rejected"
    return replace(match, verdict=verdict, evidence="pixels", similarity=round(alike, 4), transform=transform)
