"""Speed and memory of looking for near-duplicates: ours against the tools that people use, one run.

    python tools/bench/dedup.py [--data data] [--rounds 5] [--only hashing workers search memory] [--json FILE]

hashing   bytes in memory → hash, one thread, the photographs of coco_mini and flowers5_subset below $TRANSFER_DATA.
          Aims: 2.5 times imagehash's pHash and 4 times pdqhash, both behind Pillow.
workers   two worker processes against one, from files to shards. The first pieces are not timed, so that starting
          interpreters does not count. Aim: 1.8 times.
search    exact, within 64 bits, one thread: tests × corpus random codes with neighbours planted at every distance from
          0 to 64, all of which must be found. Plain NumPy searches part of the corpus; its time is scaled. Aims: 15
          times NumPy, 1.25 times the seconds of faiss alone, also for the eight positions.
memory    the peak of a fresh process that searches a corpus index of random hashes as `transfer dedup check` does.
          Aim: 300 MB, whatever the size.

Every round measures all ways, every other round backwards, so that a busy machine slows all. Ratios are medians of the
rounds' own ratios. What takes one thread is measured in seconds of the processor, which other people's jobs disturb
less; workers are measured in seconds of the clock, beside the number of cores that they got.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from transfer.dedup.decoding import thumbnail
from transfer.dedup.evidence import Compare
from transfer.dedup.hashing import BITS, CANDIDATE, Hashed, Hashes, hash_thumbnails, variants
from transfer.dedup.index import NO_ATTRIBUTES, blocks, finish_index, make_shard, open_index, prepare_index
from transfer.dedup.mapping import map_here, map_in_processes
from transfer.dedup.matching import Images, Search, join_found
from transfer.dedup.search import BLOCK, HashSearch, Hits, stream
from transfer.dedup.shards import Shard, hash_piece
from transfer.dedup.sources.files import AT_ONCE, files_piece
from transfer.dedup.sources.pieces import Piece
from transfer.files.atomic import write_json
from transfer.files.places import data_root
from transfer.workflows.dedup import search_shards

PHOTOGRAPHS = ("coco_mini", "flowers5_subset")
BATCH = 256
"""Thumbnails that are hashed together."""

PLANTED = 8
"""Neighbours at each distance, in each way that images are planted."""

SCALED = 50
"""NumPy searches one part in so many of the corpus."""

MEGABYTES = 300
"""Resident at most."""

Result = dict[str, Any]
Way = Callable[[], object]


@dataclass(frozen=True)
class Aim:
    """A ratio that is to be at least, or at most, so large: `way` against `reference`."""

    way: str
    reference: str
    bound: float
    at_most: bool = False


def alternate(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each way returns (seconds of one unit of work), once per round; every other round runs backwards."""
    results: dict[str, list[float]] = {name: [] for name in ways}
    for number in tqdm(range(rounds), file=sys.stderr, delay=2.0, leave=False):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            results[name].append(ways[name]())
    return results


def processor_seconds(work: Way) -> float:
    """Seconds that this process computes while it works."""
    start = time.process_time()
    work()
    return time.process_time() - start


def judge(seconds: Mapping[str, Sequence[float]], aims: Sequence[Aim]) -> Iterator[tuple[str, float]]:
    """A sentence for each aim, and its ratio: how many times as fast, or as many seconds for an upper bound."""
    for aim in aims:
        if aim.way in seconds and aim.reference in seconds:
            pairs = list(zip(seconds[aim.way], seconds[aim.reference], strict=True))
            ratios = [ours / theirs if aim.at_most else theirs / ours for ours, theirs in pairs]
            ratio = statistics.median(ratios)
            met = ratio <= aim.bound if aim.at_most else ratio >= aim.bound
            what = f"{ratio:.2f}× {'the seconds of' if aim.at_most else 'as fast as'} {aim.reference}"
            spread = f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds"
            bound = f"aim {'≤' if aim.at_most else '≥'} {aim.bound}"
            yield f"{aim.way}: {what} ({spread}; {bound}: {'met' if met else 'MISSED'})", ratio


def report(
    title: str, seconds: Mapping[str, Sequence[float]], aims: Sequence[Aim], unit: Callable[[float], str]
) -> Result:
    """A table of medians, a line for each aim."""
    print(f"\n### {title}\n\n| way | median |\n|:--|--:|")
    for name, values in seconds.items():
        print(f"| {name} | {unit(statistics.median(values))} |")
    lines = list(judge(seconds, aims))
    print("\n" + "\n".join(f"- {line}" for line, _ in lines), flush=True)
    ratios = [{**vars(aim), "ratio": ratio} for aim, (_, ratio) in zip(_known(seconds, aims), lines, strict=True)]
    return {"title": title, "seconds": {name: list(values) for name, values in seconds.items()}, "ratios": ratios}


def _known(seconds: Mapping[str, Any], aims: Sequence[Aim]) -> list[Aim]:
    return [aim for aim in aims if aim.way in seconds and aim.reference in seconds]


# Hashing


def hash_ours(images: Sequence[bytes], digests: bool = False) -> None:
    """As `hash_piece` does it."""
    for at in range(0, len(images), BATCH):
        thumbnails = []
        for data in images[at : at + BATCH]:
            thumbnails.append(thumbnail(data))
            if digests:
                hashlib.sha256(data).digest()
        hash_thumbnails(thumbnails)


def open_imagehash() -> Callable[[Sequence[bytes]], object]:
    """Pillow and imagehash, as their documentation does it."""
    import imagehash

    return lambda images: [imagehash.phash(Image.open(io.BytesIO(data))) for data in images]


def open_pdqhash() -> Callable[[Sequence[bytes]], object]:
    """Pillow and pdqhash."""
    import pdqhash

    return lambda images: [pdqhash.compute(np.asarray(Image.open(io.BytesIO(d)).convert("RGB"))) for d in images]


RIVALS = {"imagehash": open_imagehash, "pdqhash": open_pdqhash}
HASHING_AIMS = (
    Aim("ours", "imagehash", 2.5),
    Aim("ours", "pdqhash", 4.0),
    Aim("ours with SHA-256", "imagehash", 2.5),
    Aim("ours with SHA-256", "pdqhash", 4.0),
)


def measure_hashing(options: argparse.Namespace) -> Result:
    """Images a second, of one thread."""
    images = [path.read_bytes() for path in photographs(options.data)]
    works = {"ours": hash_ours, "ours with SHA-256": partial(hash_ours, digests=True), **installed()}
    ways = {
        name: partial(lambda work: processor_seconds(partial(work, images)) / len(images), work)
        for name, work in works.items()
    }
    for way in ways.values():
        way()  # what is loaded at first use does not count
    title = f"{len(images)} photographs, {sum(map(len, images)) / len(images) / 1000:.0f} kB each, bytes → hash"
    return report(title, alternate(ways, options.rounds), HASHING_AIMS, _per_second)


def installed() -> dict[str, Callable[[Sequence[bytes]], object]]:
    """Rivals that can be imported; a line for the others."""
    found = {}
    for name, opener in RIVALS.items():
        try:
            found[name] = opener()
        except ImportError as error:
            print(f"- {name} left out ({error}): pip install {name}")
    return found


def photographs(data: Path) -> list[Path]:
    """The images to hash."""
    found = sorted(path for name in PHOTOGRAPHS for path in (data / name).rglob("*.jpg"))
    if not found:
        raise SystemExit(f"no photographs in {', '.join(PHOTOGRAPHS)} below {data}. Set TRANSFER_DATA or --data.")
    return found


# Workers


def measure_workers(options: argparse.Namespace) -> Result:
    """Two processes against one: by the clock, and by what the clock would say had nobody else used the cores."""
    names = [path.relative_to(options.data).as_posix() for path in photographs(options.data)]
    cut = [names[at : at + options.piece] for at in range(0, len(names), options.piece)]
    pieces = [files_piece("photographs", options.data, members) for members in cut]
    many = [pieces[at % len(pieces)] for at in range(options.pieces + options.warm)]
    paces: dict[str, list[Pace]] = {"one worker": [], "two workers": []}
    ways = {name: partial(paced, many, count, options.warm, paces[name]) for count, name in enumerate(paces, 1)}
    title = f"{options.pieces} pieces of {options.piece} photographs, files → shards, after {options.warm} others"
    result = report(f"{title}, by the clock", alternate(ways, options.rounds), WORKER_AIMS, _per_second)
    free = {name: [each.free for each in values] for name, values in paces.items()}
    report("The same, less the time during which workers waited for a core", free, WORKER_AIMS, _per_second)
    for name, values in paces.items():
        print(f"- {name} got {statistics.median(each.cores for each in values):.2f} cores")
    return {**result, "paces": {name: [vars(each) for each in values] for name, values in paces.items()}}


WORKER_AIMS = (Aim("two workers", "one worker", 1.8),)


def _per_second(seconds: float) -> str:
    return f"{1 / seconds:,.0f} images/s"


@dataclass(frozen=True)
class Pace:
    """Seconds per image by the `clock`, the same had the cores been `free`, and how many `cores` it got."""

    clock: float
    free: float
    cores: float


def paced(pieces: Sequence[Piece], processes: int, warm: int, paces: list[Pace]) -> float:
    """Seconds of the clock per image after `warm` pieces and before the last ones, when a worker may have no more."""
    done = map_in_processes(hash_piece, pieces, processes)
    for _ in islice(done, warm):
        pass
    start, before = time.perf_counter(), _scheduled()
    images = sum(len(next(done).names) for _ in pieces[warm : len(pieces) - processes])
    seconds, after = time.perf_counter() - start, _scheduled()
    for _ in done:
        pass
    computed, waited = after[0] - before[0], after[1] - before[1]
    paces.append(Pace(seconds / images, (seconds - waited / processes) / images, computed / seconds))
    return seconds / images


def _scheduled() -> tuple[float, float]:
    """Seconds that the workers have computed, and waited for a core, so far: this process where there are no others."""
    workers = [child.pid for child in multiprocessing.active_children()] or [os.getpid()]
    lines = [Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split() for pid in workers]
    return sum(int(line[0]) for line in lines) / 1e9, sum(int(line[1]) for line in lines) / 1e9


# Search


@dataclass(frozen=True)
class Planted:
    """A corpus of random codes, in which `test` (P,) has neighbours at `row` (P,) with `distance` bits (P,).

    `transform` (P,) is the number of the position in which the test image is near.
    """

    tests: Hashes
    corpus: Hashes
    test: NDArray[np.int64]
    row: NDArray[np.int64]
    distance: NDArray[np.int64]
    transform: NDArray[np.int64]


def plant(tests: int, rows: int, seed: int) -> Planted:
    """`PLANTED` neighbours at every distance of tests as they are, and as many of tests turned."""
    draw = np.random.default_rng(seed)
    codes, corpus = (draw.integers(0, 256, (number, BITS // 8), np.uint8) for number in (tests, rows))
    distance = np.tile(np.arange(CANDIDATE + 1), 2 * PLANTED)
    transform = np.repeat([0, 1], len(distance) // 2) * draw.integers(1, 8, len(distance))
    test, row = draw.integers(0, tests, len(distance)), draw.permutation(rows)[: len(distance)]
    bits = np.unpackbits(variants(codes)[transform, test], axis=1)
    for each, count in zip(bits, distance, strict=True):
        each[draw.permutation(BITS)[:count]] ^= 1
    corpus[row] = np.packbits(bits, axis=1)
    return Planted(codes, corpus, test, row, distance, transform)


def check_recall(planted: Planted, hits: Sequence[Hits], turned: bool) -> float:
    """1.0, for everything must be found with its distance and position; raises AssertionError that counts the rest."""
    found = {
        pair
        for each in hits
        for pair in zip(*map(np.ndarray.tolist, (each.test, each.corpus, each.distance, each.transform)), strict=True)
    }
    columns = (planted.test, planted.row, planted.distance, planted.transform)
    sought = {pair for pair in zip(*map(np.ndarray.tolist, columns), strict=True) if turned or not pair[3]}
    if missing := sought - found:
        raise AssertionError(
            f"{len(missing)} of {len(sought)} planted neighbours were not found: {sorted(missing)[:5]}"
        )
    if more := found - sought:
        raise AssertionError(f"{len(more)} pairs were found that nobody planted: {sorted(more)[:5]}")
    return 1.0


def search_ours(planted: Planted, turned: bool) -> list[Hits]:
    """From an index of nothing to the hits, the corpus in pieces as shards are."""
    pieces = (planted.corpus[at : at + AT_ONCE] for at in range(0, len(planted.corpus), AT_ONCE))
    return list(stream(HashSearch(planted.tests, CANDIDATE, transforms=turned), pieces))


def search_faiss(codes: Hashes, queries: Hashes) -> int:
    """The number of hits of faiss alone: one index, one call."""
    index = faiss.IndexBinaryFlat(BITS)
    index.add(codes)
    limits, _, _ = index.range_search(queries, CANDIDATE + 1)
    return int(limits[-1])


def search_numpy(tests: Hashes, corpus: Hashes, rows: int = 8) -> int:
    """The number of hits of NumPy, some rows at a time: few enough that the differences stay in the cache."""
    tests, corpus = tests.view(np.uint64), corpus.view(np.uint64)
    found = 0
    for at in range(0, len(corpus), rows):
        apart = np.bitwise_count(corpus[at : at + rows, None] ^ tests).sum(axis=2, dtype=np.uint16)
        found += int((apart <= CANDIDATE).sum())
    return found


SEARCH_AIMS = (
    Aim("ours", "numpy", 15.0),
    Aim("ours", "faiss, tests indexed", 1.25, at_most=True),
    Aim("ours", "faiss, corpus indexed", 1.25, at_most=True),
    Aim("ours, 8 positions", "faiss, 8 × the tests indexed", 1.25, at_most=True),
)


def measure_search(options: argparse.Namespace) -> Result:
    """Seconds for all the corpus; all of ours is checked in every round."""
    planted = plant(options.tests, options.corpus, options.seed)
    eight, part = variants(planted.tests).reshape(-1, BITS // 8), planted.corpus[: -(-options.corpus // SCALED)]
    scale = options.corpus / len(part)
    ways: dict[str, Callable[[], float]] = {
        "numpy": lambda: scale * processor_seconds(partial(search_numpy, planted.tests, part)),
        "faiss, tests indexed": lambda: processor_seconds(partial(search_faiss, planted.tests, planted.corpus)),
        "faiss, corpus indexed": lambda: processor_seconds(partial(search_faiss, planted.corpus, planted.tests)),
        "ours": partial(searched, planted, False),
        "faiss, 8 × the tests indexed": lambda: processor_seconds(partial(search_faiss, eight, planted.corpus)),
        "ours, 8 positions": partial(searched, planted, True),
    }
    title = f"{options.tests:,} tests × {options.corpus:,} codes within {CANDIDATE} bits; numpy: {len(part):,}, scaled"
    result = report(title, alternate(ways, options.rounds), SEARCH_AIMS, lambda each: f"{each:.2f} s")
    print(
        f"- recall of ours at every distance from 0 to {CANDIDATE}, in every round: 1.000 ({len(planted.row):,} pairs)"
    )
    return {**result, "recall": 1.0}


def searched(planted: Planted, turned: bool) -> float:
    """Seconds of ours, whose hits are then checked."""
    hits: list[Hits] = []
    seconds = processor_seconds(lambda: hits.extend(search_ours(planted, turned)))
    check_recall(planted, hits, turned)
    return seconds


# Memory


def measure_memory(options: argparse.Namespace) -> Result:
    """Peaks of fresh processes, for every size."""
    print(f"\n### {options.tests:,} tests, corpus index on disk\n")
    results = []
    for images in options.memory:
        with tempfile.TemporaryDirectory() as name:
            write_index(Path(name) / "index", images, options.seed)
            command = [sys.executable, __file__, "--measure", f"{Path(name) / 'index'}", "--tests", f"{options.tests}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        results.append({"images": images, **json.loads(done.stdout)})
        print(_memory_line(**results[-1]), flush=True)
    return {"tests": options.tests, "peaks": results}


def _memory_line(images: int, peak: float, before: float, seconds: float, matches: int) -> str:
    met = "met" if peak < MEGABYTES else "MISSED"
    return (
        f"- {images:,} images: {peak:.0f} MB at the peak, {before:.0f} MB of them before the index is opened; "
        f"{seconds:.0f} s, {matches} matches (aim < {MEGABYTES} MB: {met})"
    )


def write_index(folder: Path, images: int, seed: int) -> None:
    """An index of random hashes, as `transfer dedup index` leaves it."""
    counts = [AT_ONCE] * (images // AT_ONCE) + [images % AT_ONCE] * (images % AT_ONCE > 0)
    pieces = [Piece("files", "corpus", folder, (), f"{number}") for number in range(len(counts))]
    prepare_index(folder, pieces)
    draw = np.random.default_rng(seed)
    made = [
        make_shard(folder, piece, NO_ATTRIBUTES, partial(random_shard, draw, images=count))
        for piece, count in zip(pieces, counts, strict=True)
    ]
    finish_index(folder, made, NO_ATTRIBUTES)


def random_shard(draw: np.random.Generator, piece: Piece, images: int) -> Shard:
    """Hashes and names of images that do not exist."""
    names = tuple(f"{int(piece.key):05d}/{number:09d}.jpg" for number in range(images))
    sha256, hashes = (draw.integers(0, 256, (images, 32), np.uint8) for _ in range(2))
    return Shard(piece.source, names, sha256, Hashed(hashes, np.full(images, 100, np.float32)))


def stream_index(folder: Path, tests: int) -> Result:
    """What `transfer dedup check` does with an index, in this process."""
    draw, names = np.random.default_rng(1), tuple(("tests", f"{number}.jpg") for number in range(tests))
    sha256, hashes = (draw.integers(0, 256, (tests, 32), np.uint8) for _ in range(2))
    search = Search(Images(names, sha256, Hashed(hashes, np.full(tests, 100, np.float32))))
    before, start = _peak(), time.perf_counter()
    work = partial(search_shards, folder, search, Compare({}, {}))
    found = join_found(map_here(work, list(blocks(open_index(folder), BLOCK))))
    return {"before": before, "peak": _peak(), "seconds": time.perf_counter() - start, "matches": len(found.matches)}


def _peak() -> float:
    """Most MB that were resident since this program was loaded; `getrusage` would count its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


PARTS: dict[str, Callable[[argparse.Namespace], Result]] = {
    "hashing": measure_hashing, "workers": measure_workers, "search": measure_search, "memory": measure_memory,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_root(), help="folder of the data sets [$TRANSFER_DATA]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pieces", type=int, default=32, help="workers: pieces that are timed [32]")
    parser.add_argument("--piece", type=int, default=192, help="workers: photographs of a piece [192]")
    parser.add_argument("--warm", type=int, default=12, help="workers: pieces before them [12]")
    parser.add_argument("--tests", type=int, default=5_000)
    parser.add_argument("--corpus", type=int, default=1_000_000, help="search: codes [1000000]")
    parser.add_argument("--memory", type=int, nargs="+", default=[1_000_000, 4_000_000], help="sizes of an index")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", type=Path, metavar="INDEX", help="the peak of this process, searching an index")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    faiss.omp_set_num_threads(1)
    if options.measure:
        print(json.dumps(stream_index(options.measure, options.tests)))
        return
    results = {name: PARTS[name](options) for name in options.only}
    if options.json:
        write_json(options.json, results)


if __name__ == "__main__":
    main()
