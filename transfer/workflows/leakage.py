"""Look for a data set's own test images in its training part, before every run; the result is remembered by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transfer.datasets.layouts import Pair, Split
from transfer.datasets.manifest import Manifest
from transfer.dedup.evidence import Compare, verify_candidates
from transfer.dedup.index import NO_ATTRIBUTES, ShardEntry, make_shard, read_shard
from transfer.dedup.mapping import map_in_threads
from transfer.dedup.matching import Found, Search, find_matches, join_found, join_shards
from transfer.dedup.overlap import Overlap, TestSet, describe_overlap, images_sha256, write_overlap
from transfer.dedup.shards import Shard, hash_piece
from transfer.dedup.sources.files import pieces_of
from transfer.dedup.sources.pieces import Piece, Places
from transfer.files.atomic import check_output
from transfer.progress import with_progress

LISTED = 5
"""Names that a note lists."""


@dataclass(frozen=True)
class Leakage:
    """Pairs of a test and a training image of one data set that look alike, and the test set as it was hashed.

    `places` are those of the test and the training images.
    """

    tests: TestSet
    found: Found
    places: tuple[Places, Places]

    @property
    def leaked(self) -> list[str]:
        """Names of test images that a training image duplicates."""
        return sorted({match.test[1] for match in self.found.matches if match.verdict == "duplicate"})

    @property
    def notes(self) -> list[str]:
        """Notes for people; none where nothing was found."""
        names = self.leaked
        shown = ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")
        return [f"{len(names)} images of test show the same as one of train: {shown}"] if names else []


def find_leakage(name: str, splits: Pair, manifests: tuple[Manifest, Manifest], work: Path) -> Leakage:
    """Find near-duplicates between the checked splits of a data set; hashes are cached below `work`, by content."""
    train, test = (
        _hashed(f"{name} {part}", split, manifest, work / "hashes")
        for part, split, manifest in zip(("train", "test"), splits, manifests, strict=True)
    )
    search = Search(join_shards((name, shard) for shard in test))
    found = find_matches(search, join_shards((shard.source, shard) for shard in train))
    there, here = (split.images.resolve() for split in splits)
    compare = Compare({name: ("files", here)}, {shard.source: ("files", there) for shard in train})
    tests = TestSet.of(name, images_sha256(manifests[1].hashes.values()), test)
    return Leakage(tests, verify_candidates(found, compare), (compare.tests, compare.corpus))


def leakage_notes(name: str, splits: Pair, manifests: tuple[Manifest, Manifest], work: Path) -> list[str]:
    """Return what `find_leakage` found, for people."""
    return find_leakage(name, splits, manifests, work).notes


def check_suite(suite: str, output: Path, data_root: Path, work_dir: Path) -> Overlap:
    """Write the overlap of a suite's test images with the training images of the same data sets."""
    from transfer.workflows.opening import open_suite

    check_output(output)
    opened = open_suite(suite, data_root, work_dir)
    found = [find_leakage(each.name, each.splits, each.manifests, work_dir / "data") for each in opened]
    trained = {sha256 for each in opened for sha256 in each.manifests[0].hashes.values()}
    corpus = {
        "name": f"training images of {suite}",
        "images": len(trained),
        "skipped": 0,
        "sha256": images_sha256(trained),
        **NO_ATTRIBUTES,
    }
    tests = [each.tests for each in found]
    here, there = ({name: place for each in found for name, place in each.places[side].items()} for side in (0, 1))
    data = describe_overlap(
        corpus, tests, Search(join_shards([])), join_found(each.found for each in found), (here, there)
    )
    return write_overlap(output, data)


def _hashed(source: str, split: Split, manifest: Manifest, home: Path) -> Sequence[Shard]:
    pieces = pieces_of(source, split.images, manifest.hashes)
    done = map_in_threads(partial(_make, home), pieces)
    entries = with_progress(done, f"hashing {source}", len(pieces), "piece")
    return [read_shard(home, entry) for entry in entries]


def _make(home: Path, piece: Piece) -> ShardEntry:
    return make_shard(home, piece, NO_ATTRIBUTES, hash_piece)
