"""Index images of a corpus, and check test images against the index, which gives overlap.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.dedup.evidence import Compare, verify_candidates
from transfer.dedup.hashing import CANDIDATE, DUPLICATE
from transfer.dedup.index import (
    MANIFEST,
    SKIPPED,
    Index,
    ShardEntry,
    blocks,
    finish_index,
    lock_index,
    make_shard,
    open_index,
    prepare_index,
    read_shard,
    read_sources,
)
from transfer.dedup.local import MOST, MOST_TEST
from transfer.dedup.local import VERSION as CODES_VERSION
from transfer.dedup.mapping import map_in_processes, map_on_ray
from transfer.dedup.matching import COSINE, Found, Search, find_matches, join_found, join_shards
from transfer.dedup.overlap import Overlap, TestSet, describe_overlap, images_sha256, write_overlap
from transfer.dedup.search import BLOCK
from transfer.dedup.shards import Detail, Shard, hash_piece
from transfer.dedup.sources.files import pieces_of
from transfer.dedup.sources.inputs import find_pieces
from transfer.dedup.sources.pieces import Piece, Places
from transfer.errors import BadOption, MissingData, UnknownName, UnusableIndex
from transfer.files.atomic import check_output
from transfer.files.places import suite_names
from transfer.progress import with_progress
from transfer.workflows.opening import open_suite

if TYPE_CHECKING:
    from transfer.workflows.descriptor import Descriptor

MOST_BITS = 96
"""Most bits for --bits: unrelated photographs begin to differ by so few."""


@dataclass(frozen=True)
class Workers:
    """The place where work is done: `processes` of this machine, or the Ray cluster at an address."""

    processes: int = 1
    ray: str | None = None

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise BadOption(f"--processes must be at least 1, not {self.processes}.")

    def map(self, work: Any, pieces: Sequence[Any], doing: str) -> Iterator[Any]:
        """Yield results in the order of `pieces`, with a progress bar."""
        processes = min(self.processes, len(pieces))
        done = map_on_ray(work, pieces, self.ray) if self.ray else map_in_processes(work, pieces, processes)
        return with_progress(done, doing, len(pieces), "piece")


@dataclass(frozen=True)
class Check:
    """The question of `transfer dedup check`.

    `target` is a suite, or images as `index_images` takes them; `descriptor` the file that described the index. Pairs
    of at least `cosine`, or at most `bits` apart, are candidates.
    """

    index: Path
    target: str
    data_root: Path
    work_dir: Path = Path("work_dirs")
    descriptor: Path | None = None
    cosine: float = COSINE
    bits: int = CANDIDATE


@dataclass(frozen=True)
class Tests:
    """A test set as files: its `name`, `pieces`, and the SHA-256 of its images where preflight knows them."""

    name: str
    pieces: tuple[Piece, ...]
    hashes: Mapping[str, str] | None = None


def index_images(
    inputs: Sequence[Path], output: Path, workers: Workers, descriptor: Path | None = None, *, parts: bool = False
) -> Index:
    """Hash every image of `inputs` into the index `output`; what an interrupted call has finished is not done again.

    With a `descriptor` or `parts` (codes of local features) crops and the like can be found, too. Raises MissingData
    where no image could be hashed.
    """
    describe = _descriptor(descriptor)
    attributes = {"descriptor": describe and describe.identity, "parts": CODES_VERSION if parts else None}
    detail = Detail(describe, MOST if parts else 0)
    pieces = find_pieces(inputs)
    check_output(output / MANIFEST)
    prepare_index(output, pieces)
    work = partial(make_shard, output, attributes=attributes, work=partial(hash_piece, detail=detail))
    with lock_index(output):
        index = finish_index(output, list(workers.map(work, pieces, "hashing images")), attributes)
    if not index.images:
        raise MissingData(f"none of {index.skipped:,} images could be hashed: {output / SKIPPED} says why of each.")
    return index


def check_index(asked: Check, output: Path, workers: Workers) -> Overlap:
    """Look for test images in an index, and write what was found.

    Raises UnusableIndex, MissingData or BadOption.
    """
    _check_options(asked)
    check_output(output)
    index = open_index(asked.index)
    if not index.images:
        raise UnusableIndex(f"{asked.index} holds no images: nothing can be found in it. Index the images again.")
    work = partial(hash_piece, detail=_detail(asked, index))
    tests = _tests(asked)
    pieces = [piece for each in tests for piece in each.pieces]
    hashed = dict(zip(pieces, workers.map(work, pieces, "hashing tests"), strict=True))
    images = join_shards((each.name, hashed[piece]) for each in tests for piece in each.pieces)
    search = Search(images, candidate=asked.bits, cosine=asked.cosine)
    here: Places = {each.name: (each.pieces[0].kind, each.pieces[0].path) for each in tests}
    there = read_sources(asked.index)
    find = partial(search_shards, asked.index, search, Compare(here, there))
    found = join_found(workers.map(find, list(blocks(index, BLOCK)), "searching"))
    sets = [_test_set(each, [hashed[piece] for piece in each.pieces]) for each in tests]
    return write_overlap(output, describe_overlap(index.identity, sets, search, found, (here, there)))


def search_shards(folder: Path, search: Search, compare: Compare, group: tuple[ShardEntry, ...]) -> Found:
    """Search some shards of the index `folder` for the test images.

    Candidates are compared before any is left out for its number: the one copy may be the least alike by hash.
    """
    shards = [read_shard(folder, entry) for entry in group]
    return verify_candidates(find_matches(search, join_shards((shard.source, shard) for shard in shards)), compare)


def _check_options(asked: Check) -> None:
    if not 0 < asked.cosine <= 1:
        raise BadOption(f"--cosine must be above 0 and at most 1, not {asked.cosine}.")
    if not DUPLICATE <= asked.bits <= MOST_BITS:
        raise BadOption(f"--bits must be from {DUPLICATE} to {MOST_BITS}, not {asked.bits}.")


def _detail(asked: Check, index: Index) -> Detail:
    """Choose what test images are compared by: as the index was made, with more features than a corpus image has."""
    describe = _descriptor(asked.descriptor)
    if describe is not None:
        describe.check_same(index.attributes["descriptor"], asked.index)
    parts = index.attributes["parts"]
    if parts not in (None, CODES_VERSION):
        raise UnusableIndex(f"{asked.index} holds codes {parts!r}, this program makes {CODES_VERSION!r}. Index again.")
    return Detail(describe, MOST_TEST if parts else 0)


def summary(overlap: Overlap) -> str:
    """Describe an overlap in a few lines."""
    images, counts = sum(test.images for test in overlap.tests), overlap.counts
    lines = [
        f"{images:,} test images against {overlap.corpus['images']:,} of {overlap.corpus['name']}: "
        + ", ".join(f"{counts['images'][verdict]:,} {verdict}" for verdict in counts["images"])
    ]
    lines += [f"  cosine {least}: {number:,} images" for least, number in counts.get("cosine", {}).items()]
    skipped = sum(len(test.skipped) for test in overlap.tests)
    return "\n".join([*lines, *([f"  {skipped:,} test images could not be hashed"] if skipped else [])])


def _descriptor(path: Path | None) -> Descriptor | None:
    """Import the descriptor only if there is one: hashing alone, also in workers, does not wait for torch."""
    if path is None:
        return None
    from transfer.workflows.descriptor import Descriptor

    return Descriptor.of(path)


def _tests(asked: Check) -> list[Tests]:
    if asked.target in suite_names() or asked.target.endswith(".toml"):
        return [
            Tests(each.name, tuple(pieces_of(each.name, each.splits[1].images.resolve(), each.hashes)), each.hashes)
            for each in open_suite(asked.target, asked.data_root, asked.work_dir)
        ]
    if not Path(asked.target).exists():
        raise UnknownName.among("suite, and no file or folder", asked.target, suite_names())
    sets: dict[str, list[Piece]] = {}
    for piece in find_pieces([Path(asked.target)]):
        sets.setdefault(piece.source, []).append(piece)
    return [Tests(name, tuple(pieces)) for name, pieces in sets.items()]


def _test_set(tests: Tests, shards: Sequence[Shard]) -> TestSet:
    """Describe a test set by the bytes that preflight knows, if it does: some images may be skipped here."""
    hashed = (row.tobytes().hex() for shard in shards for row in shard.sha256)
    sha256 = images_sha256(hashed if tests.hashes is None else tests.hashes.values())
    return TestSet.of(tests.name, sha256, shards)
