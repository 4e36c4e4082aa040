"""Where images come from: folders, lists of files, tar archives (webdataset), parquet; cut into pieces of work."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from transfer.errors import BadOption, CorruptImage, MissingData
from transfer.spec.fingerprint import fingerprint

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")

AT_ONCE = 1024
"""Files of a piece: about a second of work, lost at most when a job is killed."""

MOST_BYTES = 2**28
"""A larger file is no photograph, and is not read."""

Kind = Literal["files", "tar", "parquet"]

Places = Mapping[str, tuple[Kind, Path]]
"""Where the images of each source or test set are."""

Entry = tuple[str, bytes | CorruptImage]
"""An image's name within its source, and its bytes or why there are none."""


@dataclass(frozen=True)
class Piece:
    """Images that are hashed together.

    `source` is what people call the place, `path` where it is here: a folder (kind `files`, with the `members` below
    it), a tar archive, or a parquet file (with the number of one row group). `key` changes with the content.
    """

    kind: Kind
    source: str
    path: Path
    members: tuple[str, ...]
    key: str


def find_pieces(inputs: Sequence[Path]) -> list[Piece]:
    """Everything that the folders, archives, parquet files, lists (`.txt`) and images of `inputs` hold.

    Raises MissingData where one does not exist or holds no images, BadOption for a file of another type.
    """
    pieces: list[Piece] = []
    for given, source in zip(inputs, _labels(inputs), strict=True):
        found = list(_pieces(given, source))
        if not found:
            raise MissingData(f"{given} holds no images: expected {', '.join(sorted(IMAGE_SUFFIXES))}, tar or parquet.")
        pieces += found
    return pieces


def files_piece(source: str, folder: Path, members: Sequence[str]) -> Piece:
    """A piece of the files `members` below `folder`; one that is not there is skipped later, with the reason."""
    states = [_state(folder / member) for member in members]
    key = fingerprint(["files", source, [*zip(members, states, strict=True)]])
    return Piece("files", source, folder, tuple(members), key)


def pieces_of(source: str, folder: Path, members: Iterable[str]) -> list[Piece]:
    """Pieces of the files `members` below `folder`, by name."""
    return list(_files_pieces(source, folder, sorted(members)))


def read_piece(piece: Piece) -> Iterator[Entry]:
    """Every image of a piece by name, in order. What cannot be read is a CorruptImage in place of its bytes."""
    if piece.kind == "files":
        return ((member, read_file(piece.path / member)) for member in piece.members)
    return _read_tar(piece.path) if piece.kind == "tar" else _read_parquet(piece.path, int(piece.members[0]))


def read_file(path: Path) -> bytes | CorruptImage:
    """Bytes of an image file, or why there are none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return CorruptImage(f"larger than {MOST_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        return CorruptImage(f"cannot be read: {error.strerror}")


def read_images(kind: Kind, path: Path, names: Collection[str]) -> Iterator[Entry]:
    """Some images of a source, for whoever wants to look at them; an archive is read once, whatever the number."""
    if kind == "files":
        yield from ((name, read_file(path / name)) for name in sorted(names))
    elif not path.is_file():
        yield from ((name, CorruptImage("no longer there")) for name in names)
    elif kind == "tar":
        yield from (entry for entry in _read_tar(path) if entry[0] in names)
    else:
        groups = sorted({int(name.partition("/")[0]) for name in names})
        yield from (entry for group in groups for entry in _read_parquet(path, group) if entry[0] in names)


def _labels(inputs: Sequence[Path]) -> list[str]:
    """A name for each input, told apart by a number where two are called alike."""
    names = [path.resolve().name or "root" for path in inputs]
    labels: list[str] = []
    for name in names:
        numbered = (f"{name}-{number}" for number in count(1))
        free = (label for label in numbered if label not in names and label not in labels)
        labels.append(name if names.count(name) == 1 else next(free))
    return labels


def _pieces(given: Path, source: str) -> Iterator[Piece]:
    if given.is_dir():
        yield from _folder_pieces(given.resolve(), source)
    elif not given.exists():
        raise MissingData(
            f"{given} does not exist. Name folders, images, .tar or .parquet files, or .txt lists of files."
        )
    elif given.name.lower().endswith(TAR_SUFFIXES):
        yield _tar_piece(given.resolve(), source)
    elif given.suffix.lower() == ".parquet":
        yield from _parquet_pieces(given.resolve(), source)
    elif given.suffix.lower() == ".txt":
        yield from _listed_pieces(given.resolve(), source)
    elif given.suffix.lower() in IMAGE_SUFFIXES:
        yield files_piece(source, given.resolve().parent, [given.name])
    else:
        raise BadOption(f"{given} is no folder, image, .tar, .parquet or .txt list of files.")


def _listed_pieces(path: Path, source: str) -> Iterator[Piece]:
    """Files that a list names, each once. Their names say where they are below the list or below what they share.

    So an index that is given away says nothing of the machine it was made on. Raises BadOption for what is no text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise BadOption(f"{path} is no list of files: expected UTF-8 text with a path in each line.") from error
    files = list(dict.fromkeys(Path(os.path.normpath(path.parent / line)) for line in lines if line))
    folder = path.parent
    if files and not all(file.is_relative_to(folder) for file in files):
        folder = Path(os.path.commonpath([file.parent for file in files]))
    yield from _files_pieces(source, folder, [file.relative_to(folder).as_posix() for file in files])


def _folder_pieces(folder: Path, source: str) -> Iterator[Piece]:
    """Loose images first, then archives, both by name."""
    names = sorted(_walk(folder))
    yield from _files_pieces(source, folder, [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES])
    for name in names:
        if name.lower().endswith(TAR_SUFFIXES):
            yield _tar_piece(folder / name, f"{source}/{name}")
        elif name.lower().endswith(".parquet"):
            yield from _parquet_pieces(folder / name, f"{source}/{name}")


def _walk(folder: Path) -> Iterator[str]:
    """Paths of all files below `folder`; links to folders are not followed, hidden ones are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(parent).relative_to(folder)
        yield from ((below / name).as_posix() for name in files if not name.startswith("."))


def _files_pieces(source: str, folder: Path, names: Sequence[str]) -> Iterator[Piece]:
    return (files_piece(source, folder, names[at : at + AT_ONCE]) for at in range(0, len(names), AT_ONCE))


def _tar_piece(path: Path, source: str) -> Piece:
    return Piece("tar", source, path, (), fingerprint(["tar", source, _state(path)]))


def _state(path: Path) -> list[int]:
    """Size and modification time; nothing for a file that is not there."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _read_tar(path: Path) -> Iterator[Entry]:
    """Images of an archive from beginning to end. A damaged archive ends early, which is an entry of its own."""
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                if member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    yield member.name, _member(archive, member)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        yield "(the rest of the archive)", CorruptImage(f"damaged archive: {error}")


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | CorruptImage:
    if member.size > MOST_BYTES:
        return CorruptImage(f"larger than {MOST_BYTES >> 20} MiB")
    file = archive.extractfile(member)
    return CorruptImage("not a file") if file is None else file.read()


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise BadOption(f"{path}: reading parquet needs pyarrow. Install transfer-bench[parquet].") from error
    try:
        return parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise BadOption(f"{path} is not a parquet file: {error}") from error


def _parquet_pieces(path: Path, source: str) -> Iterator[Piece]:
    file = _parquet(path)
    _columns(file, path)
    for group in range(file.num_row_groups):
        key = fingerprint(["parquet", source, _state(path), group])
        yield Piece("parquet", source, path, (str(group),), key)


def _columns(file: Any, path: Path) -> tuple[str, str | None]:
    """The column of encoded images, bare bytes or Hugging Face's {bytes, path}, and that of their names, if any."""
    import pyarrow

    def encoded(kind: Any) -> bool:
        inner = (
            kind.field("bytes").type if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
        )
        return bool(pyarrow.types.is_binary(inner) or pyarrow.types.is_large_binary(inner))

    schema = file.schema_arrow
    images = [field.name for field in schema if encoded(field.type)]
    if not images:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise BadOption(f"{path}: no column holds encoded images (binary, or a struct with bytes); found {columns}.")
    names = [name for name in ("path", "file_name", "filename", "key", "__key__", "url", "id") if name in schema.names]
    return images[0], names[0] if names else None


def _read_parquet(path: Path, group: int) -> Iterator[Entry]:
    file = _parquet(path)
    image, name = _columns(file, path)
    columns = [image] if name is None else [image, name]
    try:
        rows = file.read_row_group(group, columns=columns).to_pylist()
    except Exception as error:  # pyarrow's own tree, and OSError
        yield f"row group {group}", CorruptImage(f"damaged parquet: {error}")
        return
    for number, row in enumerate(rows):
        value = row[image]
        data, inner = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        called = f"{group}/{number}/{row[name] if name else inner or ''}".rstrip("/")
        yield called, CorruptImage("empty") if data is None else bytes(data)
