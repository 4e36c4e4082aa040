"""Images in tar archives (webdataset), read from beginning to end without trust in their headers."""

from __future__ import annotations

import importlib
import io
import re
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from transfer.dedup.sources.pieces import IMAGE_SUFFIXES, Entry, Piece
from transfer.dedup.sources.regular import TOO_LARGE, open_regular, reason_of, state_of, too_large
from transfer.errors import CorruptImage
from transfer.files.fingerprint import fingerprint

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")

MOST_HEADERS = 2**16
"""Bytes of an archive that may be read to find one member: a few kilobytes can claim gigabytes of them, and older
Pythons think about a megabyte for an hour (CVE-2024-6232)."""

MOST_PADDING = 2**20
"""Bytes of zeros at the end of an archive; more are members that were never written, as in half a download."""

COMPRESSED = {rb"\x1f\x8b\x08": "gzip", rb"BZh.1AY&SY": "bz2", rb"\xfd7zXZ\x00": "lzma"}
"""How a compressed archive begins, whatever it is called, and the module that reads it, if Python was built with it."""


def tar_piece(path: Path, source: str) -> Piece:
    """Make a piece of an archive."""
    return Piece("tar", source, path, (), fingerprint(["tar", source, state_of(path)]))


def read_piece(piece: Piece) -> Iterator[Entry]:
    """Read every image of an archive."""
    return _read(piece.path)


def read_images(path: Path, names: Collection[str]) -> Iterator[Entry]:
    """Read some images of the archive `path`."""
    return (entry for entry in _read(path) if entry[0] in names)


def _read(path: Path) -> Iterator[Entry]:
    """Read images from beginning to end. A damaged archive ends early, which is an entry of its own."""
    try:
        with open_regular(path) as file, _decompressed(file) as stream:
            yield from _members(_Tape(stream))
    except Exception as error:  # trees of tarfile and of three decompressors, and whatever tarfile stumbles over
        yield "(the rest of the archive)", CorruptImage(f"damaged archive: {reason_of(error)}")


def _decompressed(file: io.BufferedReader) -> IO[bytes]:
    """Open a tar with Python's own decompressors: those of tarfile skip checksums and all but the first stream."""
    start = file.peek(10)
    modules = [module for pattern, module in COMPRESSED.items() if re.match(pattern, start)]
    return importlib.import_module(modules[0]).open(file) if modules else file


class _Tape:
    """A tar's bytes as tarfile reads them: forwards only, and no more than `allowed` until that is set anew.

    With this neither a header that claims gigabytes nor one that leads back to itself does harm, of whatever kind it
    is.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._last = b""
        self.allowed = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises ReadError for more than are allowed."""
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
        """Say that it can be moved, which it can forwards."""
        return True

    def tell(self) -> int:
        """Return where the next byte is."""
        return self._file.tell()

    def check_end(self) -> None:
        """Raise ReadError unless tarfile stopped at a block of zeros, and another and nothing else follow.

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
    """Yield the images. Raises TarError, EOFError, OSError, ValueError or others where the archive is damaged."""
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
    if too_large(member.size):
        return CorruptImage(TOO_LARGE)
    file = archive.extractfile(member)
    return CorruptImage("not a file") if file is None else file.read()
