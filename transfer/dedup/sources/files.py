"""Images as files below a folder."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from transfer.dedup.sources.pieces import Entry, Piece
from transfer.dedup.sources.regular import read_file, reason_of, state_of
from transfer.errors import BadOption, CorruptImage
from transfer.files.fingerprint import fingerprint

AT_ONCE = 1024
"""Files of a piece: about a second of work, lost at most when a job is killed."""


def files_piece(source: str, folder: Path, members: Sequence[str]) -> Piece:
    """Make a piece of the files `members` below `folder`; one that is not there is skipped later, with the reason."""
    states = [state_of(folder / member) for member in members]
    key = fingerprint(["files", source, [*zip(members, states, strict=True)]])
    return Piece("files", source, folder, tuple(members), key)


def pieces_of(source: str, folder: Path, members: Iterable[str]) -> list[Piece]:
    """Make pieces of the files `members` below `folder`, by name."""
    return list(cut(source, folder, sorted(members)))


def cut(source: str, folder: Path, members: Sequence[str]) -> Iterator[Piece]:
    """Cut the files `members` below `folder` into pieces, in this order."""
    return (files_piece(source, folder, members[at : at + AT_ONCE]) for at in range(0, len(members), AT_ONCE))


def left_out_piece(source: str, folder: Path, left_out: Iterable[tuple[str, str]]) -> Piece:
    """Make a piece that holds no images, only names of what is not read, with the reasons."""
    reasons = sorted(left_out)
    return Piece("files", source, folder, (), fingerprint(["left out", source, reasons]), tuple(reasons))


def listed_pieces(path: Path, source: str) -> Iterator[Piece]:
    """Make pieces of the files that a list names, each once.

    Their names say where they are below the list, or below what they share, so that an index that is given away says
    nothing of the machine it was made on. Raises BadOption for what is no text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise BadOption(f"{path} is no list of files: expected UTF-8 text with a path in each line.") from error
    files = list(dict.fromkeys(Path(os.path.normpath(path.parent / line)) for line in lines if line))
    folder = path.parent
    if files and not all(file.is_relative_to(folder) for file in files):
        folder = Path(os.path.commonpath([file.parent for file in files]))
    yield from cut(source, folder, [file.relative_to(folder).as_posix() for file in files])


def walk(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return paths of all files below `folder` by name, and folders that are left out (`name/`), with the reasons.

    Hidden files and folders are neither.
    """
    found: list[str] = []
    left_out: dict[str, str] = {}

    def unreadable(error: OSError) -> None:
        name = f"{Path(error.filename).relative_to(folder).as_posix()}/"
        left_out[name] = f"folder cannot be read: {reason_of(error)}"

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(parent)
        below = here.relative_to(folder)
        links = [f"{(below / name).as_posix()}/" for name in folders if (here / name).is_symlink()]
        left_out |= dict.fromkeys(links, "a link to a folder is not followed")
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found), left_out


def read_piece(piece: Piece) -> Iterator[Entry]:
    """Read every image of a piece, then yield what was left out with the reasons."""
    files = ((member, read_file(piece.path / member)) for member in piece.members)
    return chain(files, ((name, CorruptImage(reason)) for name, reason in piece.left_out))


def read_images(path: Path, names: Collection[str]) -> Iterator[Entry]:
    """Read some files below the folder `path`."""
    return ((name, _read_below(path, name)) for name in sorted(names))


def _read_below(folder: Path, name: str) -> bytes | CorruptImage:
    """Read a file below `folder`. An overlap may be anyone's: its names do not lead to other files of this machine."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return CorruptImage("its name leads out of its folder")
    return read_file(folder / name)
