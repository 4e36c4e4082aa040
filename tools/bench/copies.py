"""Which copies of photographs are recognised: ours against plain perceptual hashes, one run, in the manner of Copydays.

    python tools/bench/copies.py [--data data] [--images 384] [--seed 0] [--methods ours pdqhash] [--json FILE]

Originals are the photographs of coco_mini and flowers5_subset below $TRANSFER_DATA; every transform makes one copy of
each, drawn by the seed, in a temporary folder. A copy and its original are a true pair; a copy and any other
photograph, or any two different photographs, a false one, for which the frames of camvid_subset stand beside the
originals: streets filmed from one moving car. Its frames of a standing car show the same picture, are counted by
neither side, and get a line of their own.

Ours runs at its operating points. A method with a threshold gets the largest one whose precision over everything is
0.999, found on these very pairs, which favours it. Rotations other than by right angles leave black corners.
imagehash, imagededup and pdqhash are no dependencies of this project: what is not installed is left out.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from alterations import TRANSFORMS, Transform
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from transfer.dedup.decoding import thumbnail
from transfer.dedup.evidence import Compare, verify_candidates
from transfer.dedup.hashing import CANDIDATE, DUPLICATE, hash_thumbnails, variants
from transfer.dedup.local import MOST, MOST_TEST
from transfer.dedup.matching import COSINE, Match, Search, find_matches, join_shards
from transfer.dedup.shards import HASH_ONLY, Detail, hash_piece
from transfer.dedup.sources.files import files_piece
from transfer.dedup.sources.inputs import read_piece
from transfer.dedup.sources.pieces import Piece
from transfer.files.atomic import write_json
from transfer.files.places import data_root

PHOTOGRAPHS, FRAMES = ("coco_mini", "flowers5_subset"), "camvid_subset"
STANDING = frozenset(("Seq05VD_f01920", "Seq05VD_f02190", "Seq05VD_f02490", "Seq05VD_f02790"))
"""Frames during which the car of camvid's fifth sequence stands: literally the same picture."""

PRECISION = 0.999
FAR = 2001
"""More than any distance: bits, or thousandths of one minus a cosine. Says that a method finds no likeness."""

Distances = NDArray[np.uint16]
"""(tests, corpus): how far apart a method says two images are."""
Codes = Callable[[Sequence[bytes]], Any]
Between = Callable[[Any, Any], Distances]


@dataclass(frozen=True)
class Column:
    """A way to decide: pairs up to `threshold` are called copies; None is the largest that is precise enough."""

    name: str
    threshold: int | None = None


class Method(Protocol):
    """Holds test images; says how far those of a corpus are from them, once for each of its columns."""

    columns: tuple[Column, ...]
    seconds: dict[str, float]

    def distances(self, corpus: Sequence[Piece]) -> list[Distances]:
        """Rows and columns in the order of the pieces' members."""


def _by_hash(match: Match) -> int:
    """Bits between two images, however the verdict came out where the hash can tell."""
    return match.distance if match.verdict != "undecidable" else FAR


def _judged(match: Match) -> int:
    """The verdict of all that the product looks at."""
    return 0 if match.verdict == "duplicate" else FAR


class Ours:
    """What `transfer dedup` does: hash, search in eight positions, comparison of the candidates' pixels.

    A further kind of evidence is a further entry of `points`: its column and how a match counts there.
    """

    kept = HASH_ONLY, HASH_ONLY  # of test and of corpus images
    points: tuple[tuple[Column, Callable[[Match], int]], ...] = (
        (Column("ours, hash ≤ 31", DUPLICATE), _by_hash),
        (Column("ours, hash ≤ 64 alone", CANDIDATE), _by_hash),
        (Column("ours, hash ≤ 64 + pixels", 0), _judged),
    )

    def __init__(self, tests: Sequence[Piece]) -> None:
        self.columns = tuple(column for column, _ in self.points)
        self.seconds = dict.fromkeys((column.name for column in self.columns), 0.0)
        with _counted(self.seconds):
            self.search = Search(join_shards((piece.source, hash_piece(piece, self.kept[0])) for piece in tests))
        self.rows, self.places = _rows(tests), {piece.source: (piece.kind, piece.path) for piece in tests}

    def distances(self, corpus: Sequence[Piece]) -> list[Distances]:
        """As the product finds them; whatever it does not find is far."""
        with _counted(self.seconds):
            images = join_shards((piece.source, hash_piece(piece, self.kept[1])) for piece in corpus)
            found = find_matches(self.search, images)
        compare = Compare(self.places, {piece.source: (piece.kind, piece.path) for piece in corpus})
        with _counted(self.seconds, self.columns[-1].name):
            judged = verify_candidates(found, compare)
        sides = [(judged if distance is _judged else found, distance) for _, distance in self.points]
        return [self._placed(side.matches, _rows(corpus), distance) for side, distance in sides]

    def _placed(self, matches: Sequence[Match], places: Mapping[Any, int], distance: Callable[[Match], int]) -> Any:
        far = np.full((len(self.rows), len(places)), FAR, np.uint16)
        for match in matches:
            far[self.rows[match.test], places[match.corpus]] = distance(match)
        return far


class OursWithParts(Ours):
    """The same where the index keeps local features, too (`transfer dedup index --local-features`)."""

    kept = Detail(features=MOST_TEST), Detail(features=MOST)
    points = ((Column("ours, + parts", 0), _judged),)


class Encoded:
    """A method that makes a code of an image, and compares codes.

    `encode` makes (N, ...) codes of the bytes of N images, `encode_tests` those of the tests where they are others;
    `between` says for each column how far codes of tests and of a corpus are apart.
    """

    def __init__(
        self,
        between: Mapping[Column, Between],
        tests: Sequence[Piece],
        encode: Codes,
        encode_tests: Codes | None = None,
    ) -> None:
        self.between, self.columns, self.encode = tuple(between.values()), tuple(between), encode
        self.seconds = dict.fromkeys((column.name for column in between), 0.0)
        with _counted(self.seconds):
            self.tests = (encode_tests or encode)(_contents(tests))

    def distances(self, corpus: Sequence[Piece]) -> list[Distances]:
        """The codes of a corpus are made once for all columns."""
        with _counted(self.seconds):
            codes = self.encode(_contents(corpus))
            return [apart(self.tests, codes) for apart in self.between]


def bits_apart(tests: NDArray[np.uint8], corpus: NDArray[np.uint8]) -> Distances:
    """Bits in which (T, B) and (C, B) bytes differ; of (T, P, B) in P positions the nearest counts."""
    positions = np.ascontiguousarray(tests if tests.ndim == 3 else tests[:, None]).view(np.uint64)
    words = np.ascontiguousarray(corpus).view(np.uint64)
    rows = [np.bitwise_count(each[:, None] ^ words).sum(axis=2, dtype=np.uint16).min(axis=0) for each in positions]
    return np.stack(rows)


def bits_apart_upright(tests: NDArray[np.uint8], corpus: NDArray[np.uint8]) -> Distances:
    """The same for the first of the positions alone."""
    return bits_apart(tests[:, 0], corpus)


def angles_apart(tests: NDArray[np.float16], corpus: NDArray[np.float16]) -> Distances:
    """Thousandths of one minus the cosine."""
    cosines = tests.astype(np.float32) @ corpus.astype(np.float32).T
    return (1000 * (1 - cosines)).round().clip(0, FAR - 1).astype(np.uint16)


def _pixels(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def open_our_hash(tests: Sequence[Piece]) -> Method:
    """Our hash by the rule for everybody else's: in eight positions, at the threshold that is best on these pairs."""

    def encode(images: Sequence[bytes]) -> NDArray[np.uint8]:
        return hash_thumbnails([thumbnail(data) for data in images]).hashes

    def encode_turned(images: Sequence[bytes]) -> NDArray[np.uint8]:
        return variants(encode(images)).swapaxes(0, 1)

    return Encoded({Column("our hash, 8 positions"): bits_apart}, tests, encode, encode_turned)


def open_imagehash(tests: Sequence[Piece]) -> Method:
    """The 64-bit pHash that most scripts use."""
    import imagehash

    def encode(images: Sequence[bytes]) -> NDArray[np.uint8]:
        hashes = [imagehash.phash(Image.open(io.BytesIO(data))).hash.ravel() for data in images]
        return np.packbits(hashes, axis=1)

    return Encoded({Column("imagehash pHash"): bits_apart}, tests, encode)


def open_imagededup(tests: Sequence[Piece], kind: str) -> Method:
    """imagededup's own 64-bit PHash and DHash."""
    from imagededup import methods

    hasher = getattr(methods, kind)(verbose=False)

    def encode(images: Sequence[bytes]) -> NDArray[np.uint8]:
        codes = [bytes.fromhex(hasher.encode_image(image_array=_pixels(data))) for data in images]
        return np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1)

    return Encoded({Column(f"imagededup {kind}"): bits_apart}, tests, encode)


def open_pdqhash(tests: Sequence[Piece]) -> Method:
    """PDQ by its authors' code, whatever quality it reports; also with the eight hashes of every test image."""
    import pdqhash

    def encode(images: Sequence[bytes]) -> NDArray[np.uint8]:
        return np.packbits([pdqhash.compute(_pixels(data))[0] for data in images], axis=1)

    def encode_turned(images: Sequence[bytes]) -> NDArray[np.uint8]:
        return np.packbits([pdqhash.compute_dihedral(_pixels(data))[0] for data in images], axis=2)

    between = {
        Column(f"{name}{upto}", threshold): apart
        for name, apart in (("pdqhash", bits_apart_upright), ("pdqhash, 8 positions", bits_apart))
        for upto, threshold in ((" ≤ 31", DUPLICATE), ("", None))
    }
    return Encoded(between, tests, encode, encode_turned)


def open_descriptor(tests: Sequence[Piece], path: Path) -> Method:
    """A network of the user's, at the product's cosine and at the best one."""
    from transfer.workflows.descriptor import Descriptor

    describe = Descriptor.of(path)
    fixed, best = Column(f"{path.name}, cosine ≥ {COSINE}", round(1000 * (1 - COSINE))), Column(path.name)

    def encode(images: Sequence[bytes]) -> NDArray[np.float16]:
        return np.concatenate([describe(images[at : at + 32]) for at in range(0, len(images), 32)])

    return Encoded({fixed: angles_apart, best: angles_apart}, tests, encode)


METHODS: dict[str, tuple[Callable[[Sequence[Piece]], Method], str]] = {
    "ours": (Ours, "transfer-bench"),
    "ours-parts": (OursWithParts, "transfer-bench"),
    "our-hash": (open_our_hash, "transfer-bench"),
    "imagehash": (open_imagehash, "imagehash"),
    "imagededup-phash": (partial(open_imagededup, kind="PHash"), "imagededup"),
    "imagededup-dhash": (partial(open_imagededup, kind="DHash"), "imagededup"),
    "pdqhash": (open_pdqhash, "pdqhash"),
}
"""How each is opened, and what must be installed for it."""


@contextmanager
def _counted(seconds: dict[str, float], *names: str) -> Iterator[None]:
    """Adds the processor's seconds that a block takes to those of some columns, without `names` to all."""
    start = time.process_time()
    yield
    for name in names or seconds:
        seconds[name] += time.process_time() - start


def _contents(pieces: Sequence[Piece]) -> list[bytes]:
    return [data for piece in pieces for _, data in read_piece(piece) if isinstance(data, bytes)]


def _rows(pieces: Sequence[Piece]) -> dict[tuple[str, str], int]:
    names = [(piece.source, member) for piece in pieces for member in piece.members]
    return {name: row for row, name in enumerate(names)}


@dataclass
class Tally:
    """What a column said: histograms of the distances of true pairs by transform and of false ones.

    `apart` are those of the standing car's frames; `wrong` the false pairs that a fixed threshold accepts.
    """

    column: Column
    false: NDArray[np.int64] = field(default_factory=lambda: np.zeros(FAR + 1, np.int64))
    true: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    apart: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    wrong: list[tuple[str, str, str, int]] = field(default_factory=list)

    @property
    def threshold(self) -> int:
        """The column's, or the largest of enough precision; -1 where there is none."""
        if self.column.threshold is not None:
            return self.column.threshold
        right, wrong = np.cumsum(sum(self.true.values()))[:FAR], np.cumsum(self.false)[:FAR]
        precise = np.flatnonzero((right > 0) & (right >= PRECISION * (right + wrong)))
        return int(precise[-1]) if len(precise) else -1

    def accepted(self) -> tuple[int, int]:
        """True and false pairs up to the threshold."""
        upto = self.threshold + 1
        return sum(int(each[:upto].sum()) for each in self.true.values()), int(self.false[:upto].sum())

    def precision(self) -> float:
        """True among accepted pairs; nothing accepted is nothing wrong."""
        right, wrong = self.accepted()
        return right / (right + wrong) if right + wrong else 1.0

    def recall(self, transform: str) -> float:
        """Accepted among the copies of a transform."""
        counts = self.true[transform]
        return float(counts[: self.threshold + 1].sum() / counts.sum())

    def curve(self) -> list[tuple[int, int, int]]:
        """Every threshold at which something changes, with the true and the false pairs up to it."""
        right, wrong = (counts[:FAR] for counts in (sum(self.true.values()), self.false))
        at = np.flatnonzero(right + wrong)
        return list(zip(at.tolist(), np.cumsum(right)[at].tolist(), np.cumsum(wrong)[at].tolist(), strict=True))

    def add(self, true: Distances, false: Distances, transform: str | None) -> None:
        """More pairs; those of no transform are false ones only."""
        self.false += np.bincount(false.ravel(), minlength=FAR + 1)
        if transform is not None:
            self.true[transform] = np.bincount(true.ravel(), minlength=FAR + 1)

    def note(self, distances: Distances, tests: Sequence[str], corpus: Sequence[str], doing: str) -> None:
        """Keep the names of the false pairs that a fixed threshold accepts."""
        if self.column.threshold is not None:
            pairs = np.argwhere(distances <= self.column.threshold).tolist()
            self.wrong += [(doing, tests[row], corpus[at], int(distances[row, at])) for row, at in pairs]


@dataclass(frozen=True)
class Gallery:
    """The photographs: `pieces` of the originals, then of the frames of a film."""

    originals: tuple[Piece, ...]
    frames: tuple[Piece, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All of them."""
        return self.originals + self.frames

    @property
    def names(self) -> list[str]:
        """In the order of the pieces."""
        return [f"{piece.source}/{member}" for piece in self.pieces for member in piece.members]

    @property
    def standing(self) -> NDArray[np.int64]:
        """Rows of the frames that show one picture."""
        return np.flatnonzero([Path(name).stem in STANDING for name in self.names])


def find_photographs(data: Path, images: int | None, seed: int) -> Gallery:
    """What is below `data`; or so many originals, drawn from all."""
    every = [(name, member) for name in PHOTOGRAPHS for member in _members(data / name, ("*.jpg",))]
    if not every:
        raise SystemExit(f"no photographs in {', '.join(PHOTOGRAPHS)} below {data}. Set TRANSFER_DATA or --data.")
    if images is not None and images < len(every):
        every = [every[at] for at in sorted(np.random.default_rng(seed).permutation(len(every))[:images])]
    frames = _members(data / FRAMES, ("train/*.png", "test/*.png"))
    originals = [files_piece(name, data / name, [m for n, m in every if n == name]) for name in PHOTOGRAPHS]
    return Gallery(tuple(p for p in originals if p.members), (files_piece(FRAMES, data / FRAMES, frames),))


def _members(folder: Path, patterns: Sequence[str]) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for pattern in patterns for path in folder.rglob(pattern))


def write_copies(originals: Sequence[Piece], transform: Transform, folder: Path, seed: int) -> Piece:
    """A copy of every original, as files, in order."""
    names = []
    for number, data in enumerate(_contents(originals)):
        with Image.open(io.BytesIO(data)) as image:
            copy = transform.copy(image.convert("RGB"), number, seed)
        names.append(f"{number:05d}")
        (folder / names[-1]).write_bytes(copy)
    return files_piece("copies", folder, names)


def measure(gallery: Gallery, methods: Sequence[Method], transforms: Sequence[Transform], seed: int) -> list[Tally]:
    """Every method on the same copies, one transform after the other, then on different photographs."""
    tallies = [Tally(column) for method in methods for column in method.columns]
    for transform in tqdm(transforms, file=sys.stderr, delay=2.0, leave=False):
        with tempfile.TemporaryDirectory() as folder:
            copies = write_copies(gallery.originals, transform, Path(folder), seed)
            count_copies(gallery, transform.name, copies, zip(tallies, _all(methods, [copies]), strict=True))
    count_photographs(gallery, zip(tallies, _all(methods, gallery.pieces), strict=True))
    return tallies


def _all(methods: Sequence[Method], corpus: Sequence[Piece]) -> list[Distances]:
    return [distances for method in methods for distances in method.distances(corpus)]


def count_copies(gallery: Gallery, name: str, copies: Piece, seen: Iterator[tuple[Tally, Distances]]) -> None:
    """Copy and original, row and column of one number, are true; the rest is false."""
    for tally, distances in seen:
        same = np.eye(*distances.shape) > 0
        tally.add(distances[same], distances[~same], name)
        tally.note(np.where(same, FAR, distances), gallery.names, copies.members, name)


def count_photographs(gallery: Gallery, seen: Iterator[tuple[Tally, Distances]]) -> None:
    """Any two different ones, found from either side, are a false pair, but for the standing car."""
    for tally, distances in seen:
        either = np.minimum(distances, distances.T)
        counted = np.triu(np.ones(either.shape, bool), 1)
        inside = np.isin(np.arange(len(either)), gallery.standing)
        apart = counted & inside[:, None] & inside
        counted &= ~apart
        tally.add(either[apart], either[counted], None)
        tally.apart = either[apart].astype(np.int64)
        tally.note(np.where(counted, either, FAR), gallery.names, gallery.names, "photographs")


def report(tallies: Sequence[Tally], seconds: Mapping[str, float]) -> None:
    """A row for each transform, a line for each column."""
    names = [tally.column.name for tally in tallies]
    print(f"\n| recall, % | {' | '.join(names)} |\n|:--|{'--:|' * len(names)}")
    for transform in tallies[0].true:
        print(f"| {transform} | {' | '.join(f'{100 * tally.recall(transform):.1f}' for tally in tallies)} |")
    means = [np.mean([tally.recall(transform) for transform in tally.true]) for tally in tallies]
    print(f"| **all copies** | {' | '.join(f'{100 * mean:.1f}' for mean in means)} |\n")
    for tally in tallies:
        print(f"- {summary(tally)}, {seconds[tally.column.name]:.0f} s of a core")


def summary(tally: Tally) -> str:
    """A column in one line."""
    right, wrong = tally.accepted()
    true, false = (int(sum(counts.sum() for counts in each)) for each in (tally.true.values(), [tally.false]))
    how = "fixed" if tally.column.threshold is not None else f"largest of precision ≥ {PRECISION}"
    standing = f"{int((tally.apart <= tally.threshold).sum())} of {len(tally.apart)} pairs of the standing car"
    return (
        f"{tally.column.name}: precision {tally.precision():.5f}, threshold {tally.threshold} ({how}), "
        f"{right:,} of {true:,} true pairs, {wrong:,} of {false:,} false ones, {standing}"
    )


def as_json(tallies: Sequence[Tally], seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """Everything that the report says, and the false pairs by name."""
    return [
        {**asdict(tally.column), "chosen": tally.threshold, "precision": tally.precision(),
         "accepted": tally.accepted(), "seconds": seconds[tally.column.name],
         "recall": {name: tally.recall(name) for name in tally.true}, "standing": tally.apart.tolist(),
         "curve": tally.curve(), "wrong": tally.wrong} for tally in tallies
    ]  # fmt: skip


def open_methods(names: Sequence[str], descriptor: Path | None, tests: Sequence[Piece]) -> list[Method]:
    """Those that are installed."""
    opened: list[Method] = []
    for name in names:
        opener, package = METHODS[name]
        try:
            opened.append(opener(tests))
        except ImportError as error:
            print(f"- {name} left out ({error}): pip install {package}")
    return opened + ([open_descriptor(tests, descriptor)] if descriptor else [])


def main(arguments: Sequence[str] | None = None) -> None:
    """Make copies, look for them, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_root(), help="folder of the data sets [$TRANSFER_DATA]")
    parser.add_argument("--images", type=int, help="originals, drawn from all [all]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--transforms", nargs="+", default=[], help="those whose names begin so [all]")
    parser.add_argument("--descriptor", type=Path, help="a file as `transfer dedup index --descriptor` takes it")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    gallery = find_photographs(options.data, options.images, options.seed)
    chosen = [each for each in TRANSFORMS if each.name.startswith(tuple(options.transforms) or "")]
    methods = open_methods(options.methods, options.descriptor, gallery.pieces)
    counts = [sum(len(piece.members) for piece in pieces) for pieces in (gallery.originals, gallery.frames)]
    print(f"{counts[0]} originals, {len(chosen)} copies of each, {counts[1]} frames, seed {options.seed}", flush=True)
    tallies = measure(gallery, methods, chosen, options.seed)
    seconds = {name: taken for method in methods for name, taken in method.seconds.items()}
    report(tallies, seconds)
    if options.json:
        write_json(options.json, {"seed": options.seed, "images": counts, "methods": as_json(tallies, seconds)})


if __name__ == "__main__":
    main()
