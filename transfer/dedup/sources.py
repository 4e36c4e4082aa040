"""Where images come from: folders, lists of files, tar archives (webdataset), parquet; cut into pieces of work."""

from __future__ import annotations

import importlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, repeat
from pathlib import Path
from typing import IO, Any, Literal

from transfer.errors import BadOption, CorruptImage, MissingData
from transfer.files.fingerprint import fingerprint

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")

AT_ONCE = 1024
"""Files of a piece: about a second of work, lost at most when a job is killed."""

MOST_BYTES = 2**28
"""A larger file is no photograph, and is not read."""

TOO_LARGE = f"larger than {MOST_BYTES >> 20} MiB"

MOST_HEADERS = 2**16
"""Bytes of an archive that may be read to find one member: a few kilobytes can claim gigabytes of them, and older
Pythons think about a megabyte for an hour (CVE-2024-6232)."""

MOST_PADDING = 2**20
"""Bytes of zeros at the end of an archive; more are members that were never written, as in half a download."""

COMPRESSED = {rb"\x1f\x8b\x08": "gzip", rb"BZh.1AY&SY": "bz2", rb"\xfd7zXZ\x00": "lzma"}
"""How a compressed archive begins, whatever it is called, and the module that reads it, if Python was built with it."""

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "bytes", "content", "data")
NAME_COLUMNS = ("path", "file_name", "filename", "key", "__key__", "url", "id")
"""What columns of a parquet file are called, the best first."""

ROWS = 16
"""Rows of a parquet file that are held at a time."""

Kind = Literal["files", "tar", "parquet"]

Places = Mapping[str, tuple[Kind, Path]]
"""Where the images of each source or test set are."""

Entry = tuple[str, bytes | CorruptImage]
"""An image's name within its source, and its bytes or why there are none."""


@dataclass(frozen=True)
class Piece:
    """Images that are hashed together.

    `source` is what people call the place, `path` where it is here: a folder (kind `files`, with the `members` below
    it), a tar archive, or a parquet file (with the number of one row group). `key` changes with the content. `left_out`
    are names of what was found there and is not read, with the reasons.
    """

    kind: Kind
    source: str
    path: Path
    members: tuple[str, ...]
    key: str
    left_out: tuple[tuple[str, str], ...] = ()


def find_pieces(inputs: Sequence[Path]) -> list[Piece]:
    """Everything that the folders, archives, parquet files, lists (`.txt`) and images of `inputs` hold.

    Raises MissingData where one does not exist or holds no images, BadOption for a file of another type.
    """
    pieces: list[Piece] = []
    for given, source in zip(inputs, _labels(inputs), strict=True):
        found = list(_pieces(given, source))
        if all(piece.left_out for piece in found):
            expected = ", ".join(sorted(IMAGE_SUFFIXES))
            reasons = "".join(f" {name}: {reason}." for piece in found for name, reason in piece.left_out[:1])
            raise MissingData(f"{given} holds no images: expected {expected}, tar or parquet.{reasons}")
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
        files = ((member, read_file(piece.path / member)) for member in piece.members)
        return chain(files, ((name, CorruptImage(reason)) for name, reason in piece.left_out))
    return _read_tar(piece.path) if piece.kind == "tar" else _read_parquet(piece.path, int(piece.members[0]))


def read_file(path: Path) -> bytes | CorruptImage:
    """Bytes of an image file, or why there are none."""
    try:
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > MOST_BYTES else file.read(size + 1)
            if len(data) > size:  # it grows, or its file system does not know
                data += file.read(MOST_BYTES + 1 - len(data))
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        return CorruptImage(f"cannot be read: {_reason(error)}")
    return CorruptImage(TOO_LARGE) if max(size, len(data)) > MOST_BYTES else data


def read_images(kind: Kind, path: Path, names: Collection[str]) -> Iterator[Entry]:
    """Some images of a source, for whoever wants to look at them; an archive is read once, whatever the number."""
    if kind == "files":
        yield from ((name, _read_below(path, name)) for name in sorted(names))
    elif not path.is_file():
        yield from ((name, CorruptImage("no longer there")) for name in names)
    elif kind == "tar":
        yield from (entry for entry in _read_tar(path) if entry[0] in names)
    else:
        numbers = (name.partition("/")[0] for name in names)
        groups = sorted({int(number) for number in numbers if number.isdecimal()})
        yield from (entry for group in groups for entry in _read_parquet(path, group) if entry[0] in names)


def _read_below(folder: Path, name: str) -> bytes | CorruptImage:
    """As `read_file`. An overlap may be anyone's: its names do not lead to other files of this machine."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return CorruptImage("its name leads out of its folder")
    return read_file(folder / name)


def _opened(path: Path) -> io.BufferedReader:
    """A regular file, at the end of any links. Raises OSError for anything else, and waits for no pipe's other end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb")


def _reason(error: Exception) -> str:
    """What went wrong, without the path: an index says nothing of the machine it was made on."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _labels(inputs: Sequence[Path]) -> list[str]:
    """A name for each input; where several are called alike the first keeps it, and the others have numbers."""
    names = [path.resolve().name or "root" for path in inputs]
    labels: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}-{number}" for number in count(2))
        free = (label for label in numbered if label not in labels and label not in names)
        labels[next(free) if name in labels else name] = None
    return list(labels)


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
        try:
            yield from _parquet_pieces(given.resolve(), source)
        except CorruptImage as reason:
            raise BadOption(f"{given}: {reason}.") from reason
    elif given.suffix.lower() == ".txt":
        yield from _listed_pieces(given.resolve(), source)
    elif given.suffix.lower() in IMAGE_SUFFIXES:
        yield files_piece(source, given.parent.resolve(), [given.name])
    else:
        raise BadOption(f"{given} is no folder, image, .tar, .parquet or .txt list of files.")


def _listed_pieces(path: Path, source: str) -> Iterator[Piece]:
    """Files that a list names, each once. Their names say where they are below the list or below what they share.

    So an index that is given away says nothing of the machine it was made on. Raises BadOption for what is no text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise BadOption(f"{path} is no list of files: expected UTF-8 text with a path in each line.") from error
    files = list(dict.fromkeys(Path(os.path.normpath(path.parent / line)) for line in lines if line))
    folder = path.parent
    if files and not all(file.is_relative_to(folder) for file in files):
        folder = Path(os.path.commonpath([file.parent for file in files]))
    yield from _files_pieces(source, folder, [file.relative_to(folder).as_posix() for file in files])


def _folder_pieces(folder: Path, source: str) -> Iterator[Piece]:
    """Loose images first, then archives, both by name, then what is left out."""
    names, left_out = _walk(folder)
    yield from _files_pieces(source, folder, [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES])
    for name in names:
        if name.lower().endswith(TAR_SUFFIXES):
            yield _tar_piece(folder / name, f"{source}/{name}")
        elif name.lower().endswith(".parquet"):
            try:
                yield from _parquet_pieces(folder / name, f"{source}/{name}")
            except CorruptImage as reason:
                left_out[name] = str(reason)
    if left_out:
        reasons = sorted(left_out.items())
        yield Piece("files", source, folder, (), fingerprint(["left out", source, reasons]), tuple(reasons))


def _walk(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Paths of all files below `folder` by name, and of folders that are left out (`name/`), with the reasons.

    Hidden files and folders are neither.
    """
    found: list[str] = []
    left_out: dict[str, str] = {}

    def unreadable(error: OSError) -> None:
        left_out[f"{Path(error.filename).relative_to(folder).as_posix()}/"] = f"folder cannot be read: {_reason(error)}"

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(parent)
        below = here.relative_to(folder)
        links = [f"{(below / name).as_posix()}/" for name in folders if (here / name).is_symlink()]
        left_out |= dict.fromkeys(links, "a link to a folder is not followed")
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found), left_out


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
        with _opened(path) as file, _decompressed(file) as plain:
            yield from _members(_Tape(plain))
    except Exception as error:  # trees of tarfile and of three decompressors, and whatever tarfile stumbles over
        yield "(the rest of the archive)", CorruptImage(f"damaged archive: {_reason(error)}")


def _decompressed(file: io.BufferedReader) -> IO[bytes]:
    """The tar in a file, through Python's own decompressors: tarfile's skip checksums and all but the first stream."""
    start = file.peek(10)
    modules = [module for pattern, module in COMPRESSED.items() if re.match(pattern, start)]
    return importlib.import_module(modules[0]).open(file) if modules else file


class _Tape:
    """A tar's bytes as tarfile reads them: forwards only, and no more than `allowed` until that is set anew.

    So neither a header that claims gigabytes nor one that leads back to itself does harm, whatever kind it is of.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._last = b""
        self.allowed = 0

    def read(self, size: int) -> bytes:
        """The next bytes. Raises ReadError for more than are allowed."""
        if not 0 <= size <= self.allowed:
            raise tarfile.ReadError(f"headers larger than {MOST_HEADERS >> 10} KiB")
        self.allowed -= size
        self._last = self._file.read(size)
        return self._last

    def seek(self, position: int) -> int:
        """Go on to a place. Raises ReadError for one that lies behind."""
        if position < self.tell():
            raise tarfile.ReadError("a header that leads backwards")
        return self._file.seek(position)

    def seekable(self) -> bool:
        """Forwards."""
        return True

    def tell(self) -> int:
        """Where the next byte is."""
        return self._file.tell()

    def check_end(self) -> None:
        """Raises ReadError unless tarfile stopped at a block of zeros, and another and nothing else follow.

        To tarfile a header that is damaged or missing is the end, too.
        """
        end = self._last + self._file.read(MOST_PADDING)
        if len(self._last) >= tarfile.BLOCKSIZE and end.strip(b"\0"):
            raise tarfile.ReadError("a damaged header, or something behind its end")
        if len(end) < 2 * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it is cut off")
        if len(end) > MOST_PADDING:
            raise tarfile.ReadError(f"more than {MOST_PADDING >> 20} MiB of zeros")


def _members(tape: _Tape) -> Iterator[Entry]:
    """Raises, among others, TarError, EOFError, OSError and ValueError where the archive is damaged."""
    tape.allowed = MOST_HEADERS
    with tarfile.TarFile(fileobj=tape) as archive:  # type: ignore[arg-type]  # it never writes
        while (member := archive.next()) is not None:
            if member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                tape.allowed = max(member.size, MOST_HEADERS)
                yield member.name, _member(archive, member)
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep as many as there are
            archive.pax_headers = {}  # and all that headers say of whatever follows
            tape.allowed = MOST_HEADERS
    tape.check_end()


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | CorruptImage:
    if member.size > MOST_BYTES:
        return CorruptImage(TOO_LARGE)
    file = archive.extractfile(member)
    return CorruptImage("not a file") if file is None else file.read()


def _parquet(file: io.BufferedReader) -> Any:
    """Raises CorruptImage for what is no parquet file, BadOption where nothing can read any."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise BadOption("reading parquet needs pyarrow. Install transfer-bench[parquet].") from error
    try:
        return parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise CorruptImage(f"not a parquet file: {_reason(error).rstrip('.')}") from error


def _parquet_pieces(path: Path, source: str) -> list[Piece]:
    """Raises CorruptImage for what is no parquet file or has no column of images."""
    try:
        with _opened(path) as opened:
            file = _parquet(opened)
            _columns(file.schema_arrow)
            groups = range(file.num_row_groups)
    except OSError as error:
        raise CorruptImage(f"cannot be read: {_reason(error)}") from error
    keys = [fingerprint(["parquet", source, _state(path), group]) for group in groups]
    return [Piece("parquet", source, path, (str(group),), key) for group, key in zip(groups, keys, strict=True)]


def _columns(schema: Any) -> tuple[str, str | None]:
    """The column of encoded images, bare bytes or Hugging Face's {bytes, path}, and that of their names, if any.

    Raises CorruptImage where there are no images.
    """
    import pyarrow

    def encoded(kind: Any) -> bool:
        inner = (
            kind.field("bytes").type if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
        )
        return bool(pyarrow.types.is_binary(inner) or pyarrow.types.is_large_binary(inner))

    images = [field.name for field in schema if encoded(field.type)]
    if not images:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise CorruptImage(f"no column holds encoded images (binary, or a struct with bytes); found {columns}")
    image = next((name for name in IMAGE_COLUMNS if name in images), images[0])
    return image, next((name for name in NAME_COLUMNS if name in schema.names and name != image), None)


def _read_parquet(path: Path, group: int) -> Iterator[Entry]:
    """Images of a row group. Where it is damaged it ends early, which is an entry of its own."""
    try:
        with _opened(path) as opened:
            for number, (data, name) in enumerate(_rows(_parquet(opened), group)):
                yield f"{group}/{number}/{name}".rstrip("/"), _value(data)
    except BadOption:
        raise
    except Exception as error:  # pyarrow's own tree, OSError and CorruptImage
        yield f"row group {group}", CorruptImage(f"damaged parquet: {_reason(error)}")


def _rows(file: Any, group: int) -> Iterator[tuple[Any, Any]]:
    """Bytes and name of each row of a row group, few of which are held at a time."""
    image, name = _columns(file.schema_arrow)
    columns = [image] if name is None else [image, name]
    for batch in file.iter_batches(ROWS, row_groups=[group], columns=columns, use_threads=False):
        names = repeat(None) if name is None else batch.column(name)
        for value, called in zip(batch.column(image), names, strict=False):
            found = value.as_py()
            data, inner = (found.get("bytes"), found.get("path")) if isinstance(found, dict) else (found, None)
            yield data, (inner or "") if called is None else called.as_py()


def _value(data: bytes | None) -> bytes | CorruptImage:
    if data is None:
        return CorruptImage("empty")
    return CorruptImage(TOO_LARGE) if len(data) > MOST_BYTES else data
