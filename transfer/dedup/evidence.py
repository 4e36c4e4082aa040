"""Candidates, looked at: pairs that a hash or descriptor finds likely become duplicates or are rejected by pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from transfer.dedup.matching import Match, Name, Verdict
from transfer.dedup.sources import Places, read_images
from transfer.dedup.verifying import SAME, similarity
from transfer.errors import CorruptImage

UNTURNED = ("none", "flip")
"""How a pair that only a descriptor found is compared: descriptors do not say how the images are turned."""


def to_compare(matches: Iterable[Match], corpus: Places) -> list[tuple[Match, ...]]:
    """Candidates whose corpus image is at hand, those of one source together."""
    groups: dict[str, list[Match]] = {}
    for match in matches:
        if match.verdict == "candidate" and match.corpus[0] in corpus:
            groups.setdefault(match.corpus[0], []).append(match)
    return [tuple(groups[source]) for source in sorted(groups)]


@dataclass(frozen=True)
class Compare:
    """Candidates of one source → the same, those whose images could be read with their similarity and verdict.

    Archives are read once: of the corpus images one after the other, of the test images all that are needed.
    """

    tests: Places
    corpus: Places

    def __call__(self, matches: Sequence[Match]) -> list[Match]:
        """Look at each pair."""
        waiting: dict[str, list[Match]] = {}
        for match in matches:
            waiting.setdefault(match.corpus[1], []).append(match)
        archived = dict(self._archived({match.test for match in matches}))
        done: list[Match] = []
        for name, data in read_images(*self.corpus[matches[0].corpus[0]], set(waiting)):
            for match in waiting.pop(name, ()):
                test = archived[match.test] if match.test in archived else self._file(match.test)
                done.append(_decide(match, test, data))
        return done + [match for rest in waiting.values() for match in rest]

    def _archived(self, names: Set[Name]) -> Iterator[tuple[Name, bytes | CorruptImage]]:
        for owner, (kind, path) in self.tests.items():
            wanted = {image for each, image in names if each == owner}
            if kind != "files" and wanted:
                yield from (((owner, image), data) for image, data in read_images(kind, path, wanted))

    def _file(self, name: Name) -> bytes | CorruptImage:
        owner, image = name
        return next((data for _, data in read_images(*self.tests[owner], [image])), CorruptImage("no longer there"))


def replaced(matches: Iterable[Match], looked_at: Iterable[Match]) -> list[Match]:
    """`matches` with those that have been looked at in their new state."""
    new = {(match.test, match.corpus): match for match in looked_at}
    return [new.get((match.test, match.corpus), match) for match in matches]


def _decide(match: Match, test: bytes | CorruptImage, corpus: bytes | CorruptImage) -> Match:
    """A candidate stays one where an image is gone or unreadable."""
    if isinstance(test, CorruptImage) or isinstance(corpus, CorruptImage):
        return match
    ways = UNTURNED if match.evidence == "descriptor" else (match.transform,)
    try:
        alike, transform = max((similarity(test, corpus, way), way) for way in ways)
    except CorruptImage:
        return match
    verdict: Verdict = "duplicate" if alike >= SAME else "rejected"
    return replace(match, verdict=verdict, evidence="pixels", similarity=round(alike, 4), transform=transform)
