"""A corpus index: a folder of shards and a manifest, made once, resumed at will, shared without the images.

corpus.index/
    manifest.json     what it holds, which hash made it, SHA-256 of every shard; written last
    shards/<key>      names, SHA-256, hashes and descriptors of about a thousand images or of one archive
    skipped.jsonl     images without a hash, and why
    sources.json      where the images were on the machine that made it; not needed elsewhere
    .lock             held while it is written; empty
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.dedup.hashing import VERSION
from transfer.dedup.shards import Shard, parse_shard, sum_of_hashes, write_shard
from transfer.dedup.sources import Kind, Piece
from transfer.errors import BadOption, UnusableIndex
from transfer.files.atomic import locked, replacing, write_json
from transfer.files.fingerprint import fingerprint, text_sha256

MANIFEST, SOURCES, SHARDS, SKIPPED, LOCK = "manifest.json", "sources.json", "shards", "skipped.jsonl", ".lock"
SCHEMA = 1

Made = Mapping[str, Any]
"""What the manifest says of a shard: `file`, `source`, `images`, `skipped`, `sha256` of the file, `content`."""

MADE_KEYS = frozenset(("file", "source", "images", "skipped", "sha256", "content"))


Kept = Mapping[str, Any]
"""What shards keep of images beyond the hash: the identity of a `descriptor`, and the version of codes of `parts`."""

NOTHING: Kept = {"descriptor": None, "parts": None}


@dataclass(frozen=True)
class Index:
    """A finished index: its folder and what its manifest says.

    `sha256` covers the images' bytes and the hash version; `kept` says what there is of images beyond the hash.
    """

    folder: Path
    images: int
    skipped: int
    sha256: str
    kept: Kept
    shards: tuple[Made, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What an overlap says of it."""
        name = self.folder.resolve().name
        counts = {"images": self.images, "skipped": self.skipped}
        return {"name": name, **counts, "sha256": self.sha256, **self.kept}


def shard_path(folder: Path, piece: Piece, kept: Kept) -> Path:
    """Where the shard of `piece` goes: its name changes with the images, the hash and what is kept."""
    return folder / SHARDS / f"{fingerprint([VERSION, kept, piece.key])}.safetensors"


def make_shard(folder: Path, piece: Piece, kept: Kept, work: Callable[[Piece], Shard]) -> Made:
    """Do `work` and keep its shard, unless that has been done before; returns what the manifest says of it."""
    path = shard_path(folder, piece, kept)
    if path.exists():
        data = path.read_bytes()
        try:
            return _made(path, data, parse_shard(data, path))
        except UnusableIndex:
            path.unlink()  # a shard is only ever written whole: the disk has damaged it
    write_shard(path, work(piece))
    data = path.read_bytes()
    return _made(path, data, parse_shard(data, path))


def prepare_index(folder: Path, pieces: Sequence[Piece]) -> None:
    """Create the folder, or go on in it.

    Raises BadOption where something else stands there, or an index of images that are not among the `pieces`.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / SHARDS).is_dir()):
        raise BadOption(f"{folder} exists and is no corpus index. Name a new folder.")
    if lost := sorted(_inputs(_known_sources(folder)) - _inputs(piece.source for piece in pieces)):
        raise BadOption(
            f"{folder} also holds images of {', '.join(lost)}, and this call does not name them: it would lose them. "
            "Name all inputs, or a new folder."
        )
    (folder / SHARDS).mkdir(parents=True, exist_ok=True)
    places = {f"{piece.source}": [piece.kind, str(piece.path)] for piece in pieces}
    write_json(folder / SOURCES, places)


def keep_others_out(folder: Path) -> AbstractContextManager[None]:
    """While an index is written. Raises BadOption where another process is at it."""
    busy = BadOption(f"{folder} is being written by another call. Wait until that one ends, or name a new folder.")
    return locked(folder / LOCK, busy)


def finish_index(folder: Path, made: Sequence[Made], kept: Kept) -> Index:
    """Remove shards of images that have changed since, list what was skipped, and write the manifest."""
    current = {each["file"] for each in made}
    for path in (folder / SHARDS).iterdir():
        if path.name not in current and path.suffix == ".safetensors":
            path.unlink()
    with replacing(folder / SKIPPED) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for each in made:
            if each["skipped"]:
                path = folder / SHARDS / each["file"]
                shard = parse_shard(path.read_bytes(), path)
                lines.writelines(
                    json.dumps({"image": f"{shard.source}/{name}", "reason": reason}) + "\n"
                    for name, reason in shard.skipped
                )
    manifest = {
        "schema": SCHEMA,
        "hash": VERSION,
        **kept,
        **_sums(made),
        "shards": list(made),
    }
    write_json(folder / MANIFEST, manifest)
    return open_index(folder)


def open_index(folder: Path) -> Index:
    """Raises UnusableIndex where there is none, or one that is unfinished, damaged, or of another hash version."""
    path = folder / MANIFEST
    if not path.is_file():
        state = "is unfinished" if (folder / SHARDS).is_dir() else "is no corpus index"
        raise UnusableIndex(
            f"{folder} {state}: expected {MANIFEST} in it. Run `transfer dedup index IMAGES -o {folder}`."
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA or data["hash"] != VERSION:
            raise UnusableIndex(
                f"{folder} holds hashes {data['hash']!r} (schema {data['schema']}), this program makes {VERSION!r} "
                f"(schema {SCHEMA}); they cannot be compared. Index the images again."
            )
        shards = tuple(data["shards"])
        if not all(set(each) >= MADE_KEYS for each in shards):
            raise ValueError(f"expected {', '.join(sorted(MADE_KEYS))} of every shard")
        if not all(type(each[key]) is int and each[key] >= 0 for each in shards for key in ("images", "skipped")):
            raise ValueError("expected numbers of images")
        if not all(isinstance(each[key], str) for each in shards for key in ("file", "source", "sha256", "content")):
            raise ValueError("expected texts for files, sources and hashes")
        if any(data[key] != value for key, value in _sums(shards).items()):
            raise ValueError("its sums do not agree")
        kept = {key: data[key] for key in NOTHING}
        return Index(folder, data["images"], data["skipped"], data["sha256"], kept, shards)
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableIndex(f"{path} is damaged: {error}. Run `transfer dedup index` again.") from error


def read_shard(folder: Path, made: Made) -> Shard:
    """A shard of a finished index. Raises UnusableIndex where it is not, byte by byte, the one of the manifest."""
    path = folder / SHARDS / Path(made["file"]).name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnusableIndex(
            f"{path} cannot be read: {error.strerror}. Copy the index again, or make it anew."
        ) from error
    if hashlib.sha256(data).hexdigest() != made["sha256"]:
        raise UnusableIndex(
            f"{path} is damaged: its SHA-256 is not the manifest's. Copy the index again, or make it anew."
        )
    return parse_shard(data, path)


def read_sources(folder: Path) -> dict[str, tuple[Kind, Path]]:
    """Source → its kind and place on the machine that made the index; empty where that was not kept.

    Raises UnusableIndex for a damaged list.
    """
    path = folder / SOURCES
    if not path.is_file():
        return {}
    try:
        places = json.loads(path.read_text(encoding="utf-8"))
        return {source: (kind, Path(place)) for source, (kind, place) in places.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UnusableIndex(f"{path} is damaged: {error}. Remove it to go on without the images.") from error


def _known_sources(folder: Path) -> Iterable[str]:
    """Of an index that is there, finished or not."""
    if (folder / SOURCES).is_file():
        return read_sources(folder)
    try:
        return [made["source"] for made in open_index(folder).shards]
    except UnusableIndex:
        return []


def _inputs(sources: Iterable[str]) -> set[str]:
    """What was named on the command line: an archive within a folder is called folder/archive."""
    return {source.partition("/")[0] for source in sources}


def _made(path: Path, data: bytes, shard: Shard) -> Made:
    return {
        "file": path.name,
        "source": shard.source,
        "images": len(shard.names),
        "skipped": len(shard.skipped),
        "sha256": hashlib.sha256(data).hexdigest(),
        "content": shard.content,
    }


def _sums(made: Sequence[Made]) -> dict[str, Any]:
    """What shards hold together; `sha256` covers the hash version and the bytes of images, however they were cut."""
    images, skipped = (sum(each[key] for each in made) for key in ("images", "skipped"))
    content = text_sha256(f"{VERSION}\n{sum_of_hashes(each['content'] for each in made)}")
    return {"images": images, "skipped": skipped, "sha256": content}


def blocks(index: Index, images: int) -> Iterator[tuple[Made, ...]]:
    """The shards in groups of at least so many images, but for the last: what is read and searched together."""
    group: list[Made] = []
    for made in index.shards:
        group.append(made)
        if sum(each["images"] for each in group) >= images:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)
