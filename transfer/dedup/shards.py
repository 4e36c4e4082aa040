"""The hashes of one piece of a corpus, and the file that keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from transfer.dedup.decoding import decode_grey, shrink
from transfer.dedup.hashing import VERSION, Hashed, hash_thumbnails, join_hashed
from transfer.dedup.local import Codes, features
from transfer.dedup.sources.inputs import read_piece
from transfer.dedup.sources.pieces import Piece
from transfer.errors import CorruptImage, UnusableIndex
from transfer.files.atomic import replacing

A = TypeVar("A")
B = TypeVar("B")

Describe = Callable[[Sequence[bytes]], NDArray[np.float16]]
"""Bytes of N images → (N, D) descriptors of length 1."""

TYPES = {"sha256": np.uint8, "hash": np.uint8, "texture": np.float32, "text": np.uint8}
NO_CODES = np.empty((0, 32), np.uint8)

TOGETHER = 128
"""Images whose bytes or thumbnails are held at a time."""


@dataclass(frozen=True)
class Shard:
    """N images of a source: `names` within it, (N, 32) `sha256` of their bytes, and hashes.

    `skipped` are names with the reason why they have no hash. Where they were asked for: (N, D) `descriptors`, and N
    arrays of codes of local `features`.
    """

    source: str
    names: tuple[str, ...]
    sha256: NDArray[np.uint8]
    hashed: Hashed
    descriptors: NDArray[np.float16] | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    features: tuple[Codes, ...] | None = None

    @property
    def content(self) -> str:
        """Sum of the images' SHA-256: the same whatever their order and names, and additive over shards."""
        return sum_of_hashes(row.tobytes().hex() for row in self.sha256)


@dataclass(frozen=True)
class Detail:
    """The attributes of an image beyond its hash: a descriptor, and codes of at most `features` local features."""

    describe: Describe | None = None
    features: int = 0


HASH_ONLY = Detail()


def sum_of_hashes(hashes: Iterable[str]) -> str:
    """Sum hashes of 64 hexadecimal digits, modulo 16^64: equal for equal multisets, however they were cut."""
    return f"{sum(int(each, 16) for each in hashes) % 16**64:064x}"


def hash_piece(piece: Piece, detail: Detail = HASH_ONLY) -> Shard:
    """Hash every image of a piece. One that cannot be decoded is skipped, with the reason."""
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    digests, codes, hashed = [], [], _Batches(hash_thumbnails)
    described = _Batches(detail.describe) if detail.describe is not None else None
    for name, data in read_piece(piece):
        try:
            if isinstance(data, CorruptImage):
                raise data
            grey = decode_grey(data)
        except CorruptImage as reason:
            skipped.append((name, str(reason)))
            continue
        names.append(name)
        digests.append(hashlib.sha256(data).digest())
        hashed.add(shrink(grey))
        codes += [features(grey, detail.features)] if detail.features else []
        if described is not None:
            described.add(data)
    sha256 = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    beyond = (
        np.concatenate(described.finish()) if described is not None and names else None,
        tuple(skipped),
        tuple(codes) if detail.features else None,
    )
    return Shard(piece.source, tuple(names), sha256, join_hashed(hashed.finish()), *beyond)


class _Batches(Generic[A, B]):
    """Does `work` on what is added `TOGETHER` at a time, so that no more of it is held."""

    def __init__(self, work: Callable[[Sequence[A]], B]) -> None:
        self._work = work
        self._waiting: list[A] = []
        self._done: list[B] = []

    def add(self, item: A) -> None:
        self._waiting.append(item)
        if len(self._waiting) == TOGETHER:
            self._flush()

    def finish(self) -> list[B]:
        if self._waiting:
            self._flush()
        return self._done

    def _flush(self) -> None:
        self._done.append(self._work(self._waiting))
        self._waiting = []


def write_shard(path: Path, shard: Shard) -> None:
    """Write `path` (safetensors) atomically."""
    text = json.dumps({"source": shard.source, "names": shard.names, "skipped": shard.skipped})
    tensors: dict[str, NDArray[Any]] = {
        "sha256": shard.sha256,
        "hash": shard.hashed.hashes,
        "texture": shard.hashed.texture,
        "text": np.frombuffer(text.encode(), np.uint8),
    }
    if shard.descriptors is not None:
        tensors["descriptor"] = shard.descriptors
    if shard.features is not None:
        tensors["part"] = np.concatenate([NO_CODES, *shard.features])
        tensors["parts"] = np.array([len(codes) for codes in shard.features], np.int64)
    tensors["check"] = _checksum(tensors)
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, {"version": VERSION}))


def parse_shard(data: bytes, path: Path) -> Shard:
    """Parse what `write_shard` wrote. Raises UnusableIndex for a damaged file."""
    try:
        tensors = load(data)
        if tensors["check"].tolist() != _checksum(tensors).tolist():
            raise ValueError("its SHA-256 is another")
        text = json.loads(tensors["text"].tobytes())
        names, skipped = tuple(text["names"]), tuple((name, reason) for name, reason in text["skipped"])
        if any(tensors[name].dtype != kind for name, kind in TYPES.items()):
            raise ValueError("types of numbers")
        shapes = [tensors[name].shape for name in ("sha256", "hash", "texture")]
        if shapes != [(len(names), 32), (len(names), 32), (len(names),)]:
            raise ValueError(f"shapes {shapes} for {len(names)} names")
        hashed = Hashed(tensors["hash"], tensors["texture"])
        beyond = tensors.get("descriptor"), skipped, _features(tensors)
        return Shard(str(text["source"]), names, tensors["sha256"], hashed, *beyond)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UnusableIndex(f"{path} is damaged: {error}. Delete it and run `transfer dedup index` again.") from error


def _features(tensors: Mapping[str, NDArray[Any]]) -> tuple[Codes, ...] | None:
    if "parts" not in tensors:
        return None
    return tuple(np.split(tensors["part"], np.cumsum(tensors["parts"])[:-1])) if len(tensors["parts"]) else ()


def _checksum(tensors: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Return (32,) SHA-256 of all the others, for an unfinished index has no manifest that would know it."""
    digest = hashlib.sha256()
    for name in sorted(tensors.keys() - {"check"}):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    return np.frombuffer(digest.digest(), np.uint8)
