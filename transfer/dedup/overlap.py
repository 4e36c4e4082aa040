"""Write and read what a corpus and test images have in common: `overlap.json`. docs/dedup.md describes its keys."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from transfer.dedup.hashing import TEXTURE, VERSION
from transfer.dedup.matching import REPORTED_COSINES, Found, Match, Name, Search
from transfer.dedup.shards import Shard
from transfer.dedup.sources.pieces import Kind, Places
from transfer.dedup.verifying import SAME
from transfer.errors import BrokenOverlap
from transfer.files.atomic import write_json

SCHEMA = 1

VERDICTS = ("duplicate", "candidate", "undecidable")
"""Verdicts, the gravest first; an image has the gravest verdict of its pairs."""

PAIR_KEYS = (
    "test_set", "test", "test_sha256", "corpus_source", "corpus", "corpus_sha256",
    "distance", "transform", "cosine", "similarity", "verdict", "evidence",
)  # fmt: skip


@dataclass(frozen=True)
class TestSet:
    """Test images that were looked for; `sha256` is that of their bytes (see `images_sha256`).

    `skipped` maps images that could not be hashed to the reason, `undecidable` those with too little texture to the
    SHA-256 of their bytes.
    """

    __test__ = False

    name: str
    images: int
    sha256: str
    skipped: Mapping[str, str]
    undecidable: Mapping[str, str]

    @classmethod
    def of(cls, name: str, sha256: str, shards: Sequence[Shard]) -> TestSet:
        """Build a test set from its hashed shards."""
        skipped = {image: reason for shard in shards for image, reason in shard.skipped}
        poor = {
            image: row.tobytes().hex()
            for shard in shards
            for image, row, well in zip(shard.names, shard.sha256, shard.hashed.decidable, strict=True)
            if not well
        }
        return cls(name, sum(len(shard.names) for shard in shards) + len(skipped), sha256, skipped, poor)


@dataclass(frozen=True)
class Overlap:
    """A parsed `overlap.json`; `sha256` is that of its content, but for `here`, and names it in records."""

    corpus: Mapping[str, Any]
    tests: tuple[TestSet, ...]
    thresholds: Mapping[str, Any]
    counts: Mapping[str, Any]
    pairs: tuple[Mapping[str, Any], ...]
    sha256: str
    here: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def places(self, side: Literal["tests", "corpus"]) -> Places:
        """Return where images of test sets, or of corpus sources that have pairs, were when it was written."""
        return {name: (kind, Path(path)) for name, (kind, path) in self.here.get(side, {}).items()}

    def verdicts(self, name: str) -> dict[str, str]:
        """Map SHA-256 to the gravest verdict, for images of the test set `name` with a pair or too little texture."""
        test = next(each for each in self.tests if each.name == name)
        found = dict.fromkeys(test.undecidable.values(), "undecidable")
        pairs = [pair for pair in self.pairs if pair["test_set"] == name]
        for verdict in reversed(VERDICTS):
            found |= {pair["test_sha256"]: verdict for pair in pairs if pair["verdict"] == verdict}
        return found


def images_sha256(hashes: Iterable[str]) -> str:
    """Hash the SHA-256 (hexadecimal) of images, whatever their order, number of copies and names."""
    return hashlib.sha256("\n".join(sorted(set(hashes))).encode()).hexdigest()


def describe_overlap(
    corpus: Mapping[str, Any],
    tests: Sequence[TestSet],
    search: Search,
    found: Found,
    places: tuple[Places, Places],
) -> dict[str, Any]:
    """Return the JSON of an overlap: pairs in the order of test set, image, distance and corpus image.

    `places` are those of test sets and corpus sources on this machine: for looking at pairs, no part of the identity.
    """
    close = _close(found.close) if search.tests.descriptors is not None else {}
    pairs = sorted(map(_pair, found.matches), key=_order)
    return {
        "schema": SCHEMA,
        "hash": VERSION,
        "thresholds": {
            "duplicate": search.duplicate,
            "candidate": search.candidate,
            "texture": TEXTURE,
            "similarity": SAME,
            "cosine": search.cosine if search.tests.descriptors is not None else None,
        },
        "corpus": dict(corpus),
        "tests": list(map(asdict, tests)),
        "counts": {**_counts(pairs, tests), "rejected": found.rejected, "unlisted": found.unlisted, **close},
        "pairs": pairs,
        "here": {
            "tests": _places(places[0], {test.name for test in tests}),
            "corpus": _places(places[1], {pair["corpus_source"] for pair in pairs}),
        },
    }


def write_overlap(path: Path, data: Mapping[str, Any]) -> Overlap:
    """Write `overlap.json` atomically, and read it back."""
    write_json(path, data)
    return read_overlap(path)


def read_overlap(path: Path) -> Overlap:
    """Read `overlap.json`. Raises BrokenOverlap that names the file and what is wrong with it."""
    try:
        data = json.loads(path.read_bytes())
        if data["schema"] != SCHEMA or data["hash"] != VERSION:
            raise BrokenOverlap(
                f"{path} was made with hash {data['hash']!r}, schema {data['schema']}; this program knows {VERSION!r}, "
                f"schema {SCHEMA}. Run `transfer dedup check` again."
            )
        tests = tuple(_read_test_set(test) for test in data["tests"])
        pairs = tuple(data["pairs"])
        for number, pair in enumerate(pairs):
            _check_pair(number, pair, tests)
        here = data.pop("here", {})
        _check_places([here.get(side, {}) for side in ("tests", "corpus")])
        _check_numbers(data["corpus"]["images"], *(data["counts"]["images"][verdict] for verdict in VERDICTS))
        content = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        sha256 = hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()
        return Overlap(data["corpus"], tests, data["thresholds"], data["counts"], pairs, sha256, here)
    except OSError as error:
        raise BrokenOverlap(f"{path} cannot be read: {error.strerror}. `transfer dedup check` writes it.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenOverlap(f"{path} is no overlap manifest: {error}. `transfer dedup check` writes it.") from error


def _read_test_set(data: Mapping[str, Any]) -> TestSet:
    test = TestSet(**data)
    _check_numbers(test.images)
    if not isinstance(test.name, str) or not isinstance(test.sha256, str):
        raise ValueError("tests: expected a name and a sha256 of each")
    if not all(isinstance(text, str) for each in (test.skipped, test.undecidable) for text in each.values()):
        raise ValueError(f"tests: expected texts for the images that {test.name} skipped or cannot decide")
    return test


def _check_places(sides: Sequence[Any]) -> None:
    places = [place for side in sides for place in side.values()]
    if not all(isinstance(place, list) and len(place) == 2 and set(map(type, place)) == {str} for place in places):
        raise ValueError("here: expected kind and path of each place of tests and corpus")
    if not {kind for kind, _ in places} <= {*get_args(Kind)}:
        raise ValueError(f"here: expected kinds of {', '.join(get_args(Kind))}")


def _check_numbers(*values: Any) -> None:
    if not all(type(value) is int and value >= 0 for value in values):
        raise ValueError(f"expected numbers of images, not {values}")


def _check_pair(number: int, pair: Mapping[str, Any], tests: Sequence[TestSet]) -> None:
    if not pair.keys() >= {*PAIR_KEYS} or pair["verdict"] not in VERDICTS:
        raise ValueError(f"pair {number}: expected {', '.join(PAIR_KEYS)} and a verdict of {', '.join(VERDICTS)}")
    if pair["test_set"] not in {test.name for test in tests}:
        raise ValueError(f"pair {number}: its test image is of no set that was checked")
    texts = ("test", "test_sha256", "corpus_source", "corpus", "corpus_sha256", "transform", "evidence")
    measured = [pair[key] for key in ("cosine", "similarity") if pair[key] is not None]
    numbers = all(isinstance(value, int | float) for value in (pair["distance"], *measured))
    if not numbers or not all(isinstance(pair[key], str) for key in texts):
        raise ValueError(f"pair {number}: expected texts and, for distance, cosine and similarity, numbers")


def _pair(match: Match) -> dict[str, Any]:
    return {
        "test_set": match.test[0],
        "test": match.test[1],
        "test_sha256": match.test_sha256,
        "corpus_source": match.corpus[0],
        "corpus": match.corpus[1],
        "corpus_sha256": match.corpus_sha256,
        "distance": match.distance,
        "transform": match.transform,
        "cosine": match.cosine,
        "similarity": match.similarity,
        "verdict": match.verdict,
        "evidence": match.evidence,
    }


def _order(pair: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(pair[key] for key in ("test_set", "test", "distance", "corpus_source", "corpus"))


def _counts(pairs: Sequence[Mapping[str, Any]], tests: Sequence[TestSet]) -> dict[str, Any]:
    """Count pairs, and test images by their gravest verdict, those that are undecidable by themselves included."""
    gravest: dict[tuple[str, str], str] = {}
    for pair in sorted(pairs, key=lambda pair: VERDICTS.index(pair["verdict"])):
        gravest.setdefault((pair["test_set"], pair["test"]), pair["verdict"])
    for test in tests:
        for image in test.undecidable:
            gravest.setdefault((test.name, image), "undecidable")
    by_pair, by_image = Counter(pair["verdict"] for pair in pairs), Counter(gravest.values())
    return {
        "pairs": {verdict: by_pair[verdict] for verdict in VERDICTS},
        "images": {verdict: by_image[verdict] for verdict in VERDICTS},
    }


def _places(places: Places, wanted: Set[str]) -> dict[str, list[str]]:
    return {name: [kind, str(path)] for name, (kind, path) in sorted(places.items()) if name in wanted}


def _close(close: Sequence[frozenset[Name]]) -> dict[str, Any]:
    return {"cosine": {str(c): len(names) for c, names in zip(REPORTED_COSINES, close, strict=True)}}
