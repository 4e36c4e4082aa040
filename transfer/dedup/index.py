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
from typing import Any, get_args

from transfer.dedup.hashing import VERSION
from transfer.dedup.shards import Shard, parse_shard, sum_of_hashes, write_shard
from transfer.dedup.sources.pieces import Kind, Piece
from transfer.errors import BadOption, UnusableIndex
from transfer.files.atomic import locked, replacing, write_json
from transfer.files.fingerprint import fingerprint, text_sha256

MANIFEST, SOURCES, SHARDS, SKIPPED, LOCK = "manifest.json", "sources.json", "shards", "skipped.jsonl", ".lock"
SCHEMA = 1

ShardEntry = Mapping[str, Any]
"""A shard as the manifest lists it: `file`, `source`, `images`, `skipped`, `sha256` of the file, `content`."""

ENTRY_KEYS = frozenset(("file", "source", "images", "skipped", "sha256", "content"))


Attributes = Mapping[str, Any]
"""What shards hold of images beyond the hash: the identity of a `descriptor`, and the version of codes of `parts`."""

NO_ATTRIBUTES: Attributes = {"descriptor": None, "parts": None}


@dataclass(frozen=True)
class Index:
    """A finished index: its folder and what its manifest says.

    `sha256` covers the images' bytes and the hash version; `attributes` say what there is of images beyond the hash.
    """

    folder: Path
    images: int
    skipped: int
    sha256: str
    attributes: Attributes
    shards: tuple[ShardEntry, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """The index as an overlap names it."""
        name = self.folder.resolve().name
        counts = {"images": self.images, "skipped": self.skipped}
        return {"name": name, **counts, "sha256": self.sha256, **self.attributes}


def shard_path(folder: Path, piece: Piece, attributes: Attributes) -> Path:
    """Return where the shard of `piece` goes: its name changes with the images, the hash and the attributes."""
    return folder / SHARDS / f"{fingerprint([VERSION, attributes, piece.key])}.safetensors"


def make_shard(folder: Path, piece: Piece, attributes: Attributes, work: Callable[[Piece], Shard]) -> ShardEntry:
    """Do `work` and save its shard, unless that has been done before; return what the manifest says of it."""
    path = shard_path(folder, piece, attributes)
    if path.exists():
        data = path.read_bytes()
        try:
            return _entry(path, data, parse_shard(data, path))
        except UnusableIndex:
            path.unlink()  # a shard is only ever written atomically: the disk has damaged it
    write_shard(path, work(piece))
    data = path.read_bytes()
    return _entry(path, data, parse_shard(data, path))


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


def lock_index(folder: Path) -> AbstractContextManager[None]:
    """Lock an index while it is written. Raises BadOption where another process is at it."""
    busy = BadOption(f"{folder} is being written by another call. Wait until that one ends, or name a new folder.")
    return locked(folder / LOCK, busy)


def finish_index(folder: Path, entries: Sequence[ShardEntry], attributes: Attributes) -> Index:
    """Remove shards of images that have changed since, list what was skipped, and write the manifest."""
    current = {each["file"] for each in entries}
    for path in (folder / SHARDS).iterdir():
        if path.name not in current and path.suffix == ".safetensors":
            path.unlink()
    with replacing(folder / SKIPPED) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for each in entries:
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
        **attributes,
        **_sums(entries),
        "shards": list(entries),
    }
    write_json(folder / MANIFEST, manifest)
    return open_index(folder)


def open_index(folder: Path) -> Index:
    """Open an index.

    Raises UnusableIndex where there is none, or one that is unfinished, damaged, or of another hash version.
    """
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
        if not all(set(each) >= ENTRY_KEYS for each in shards):
            raise ValueError(f"expected {', '.join(sorted(ENTRY_KEYS))} of every shard")
        if not all(type(each[key]) is int and each[key] >= 0 for each in shards for key in ("images", "skipped")):
            raise ValueError("expected numbers of images")
        if not all(isinstance(each[key], str) for each in shards for key in ("file", "source", "sha256", "content")):
            raise ValueError("expected texts for files, sources and hashes")
        if any(data[key] != value for key, value in _sums(shards).items()):
            raise ValueError("its sums do not agree")
        attributes = {key: data[key] for key in NO_ATTRIBUTES}
        return Index(folder, data["images"], data["skipped"], data["sha256"], attributes, shards)
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableIndex(f"{path} is damaged: {error}. Run `transfer dedup index` again.") from error


def read_shard(folder: Path, entry: ShardEntry) -> Shard:
    """Read a shard of a finished index.

    Raises UnusableIndex where it is not, byte by byte, the one of the manifest.
    """
    path = folder / SHARDS / Path(entry["file"]).name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnusableIndex(
            f"{path} cannot be read: {error.strerror}. Copy the index again, or make it anew."
        ) from error
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise UnusableIndex(
            f"{path} is damaged: its SHA-256 is not the manifest's. Copy the index again, or make it anew."
        )
    return parse_shard(data, path)


def read_sources(folder: Path) -> dict[str, tuple[Kind, Path]]:
    """Read the kind and place of each source on the machine that made the index; empty if the list is absent.

    Raises UnusableIndex for a damaged list.
    """
    path = folder / SOURCES
    if not path.is_file():
        return {}
    try:
        places = json.loads(path.read_text(encoding="utf-8"))
        if unknown := {kind for kind, _ in places.values()} - {*get_args(Kind)}:
            raise ValueError(f"expected kinds of {', '.join(get_args(Kind))}, not {', '.join(map(repr, unknown))}")
        return {source: (kind, Path(place)) for source, (kind, place) in places.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UnusableIndex(f"{path} is damaged: {error}. Remove it to go on without the images.") from error


def _known_sources(folder: Path) -> Iterable[str]:
    """Return the sources of an index that is there, finished or not."""
    if (folder / SOURCES).is_file():
        return read_sources(folder)
    try:
        return [entry["source"] for entry in open_index(folder).shards]
    except UnusableIndex:
        return []


def _inputs(sources: Iterable[str]) -> set[str]:
    """Return what was named on the command line: an archive within a folder is called folder/archive."""
    return {source.partition("/")[0] for source in sources}


def _entry(path: Path, data: bytes, shard: Shard) -> ShardEntry:
    return {
        "file": path.name,
        "source": shard.source,
        "images": len(shard.names),
        "skipped": len(shard.skipped),
        "sha256": hashlib.sha256(data).hexdigest(),
        "content": shard.content,
    }


def _sums(entries: Sequence[ShardEntry]) -> dict[str, Any]:
    """Sum up shards; `sha256` covers the hash version and the bytes of images, however they were cut."""
    images, skipped = (sum(each[key] for each in entries) for key in ("images", "skipped"))
    content = text_sha256(f"{VERSION}\n{sum_of_hashes(each['content'] for each in entries)}")
    return {"images": images, "skipped": skipped, "sha256": content}


def blocks(index: Index, images: int) -> Iterator[tuple[ShardEntry, ...]]:
    """Group the shards so that each group but the last has at least so many images: these are searched together."""
    group: list[ShardEntry] = []
    for entry in index.shards:
        group.append(entry)
        if sum(each["images"] for each in group) >= images:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)
