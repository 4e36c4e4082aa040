"""Find the pieces that paths stand for, and read their images, whatever kind of place they are in."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

from transfer.dedup.sources import files, parquet, tar
from transfer.dedup.sources.pieces import IMAGE_SUFFIXES, Entry, Kind, Piece, Source
from transfer.errors import BadOption, CorruptImage, MissingData

SOURCES: Mapping[Kind, Source] = {"files": files, "tar": tar, "parquet": parquet}


def find_pieces(inputs: Sequence[Path]) -> list[Piece]:
    """Find everything that the folders, archives, parquet files, lists (`.txt`) and images of `inputs` hold.

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


def read_piece(piece: Piece) -> Iterator[Entry]:
    """Read every image of a piece by name, in order. What cannot be read is a CorruptImage in place of its bytes."""
    return SOURCES[piece.kind].read_piece(piece)


def read_images(kind: Kind, path: Path, names: Collection[str]) -> Iterator[Entry]:
    """Read some images of a source, for whoever wants to look at them; an archive is read once, whatever the number."""
    if kind != "files" and not path.is_file():
        return ((name, CorruptImage("no longer there")) for name in names)
    return SOURCES[kind].read_images(path, names)


def _labels(inputs: Sequence[Path]) -> list[str]:
    """Name each input; where several are called alike the first keeps the name, and the others have numbers."""
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
    elif given.name.lower().endswith(tar.TAR_SUFFIXES):
        yield tar.tar_piece(given.resolve(), source)
    elif given.suffix.lower() == ".parquet":
        try:
            yield from parquet.parquet_pieces(given.resolve(), source)
        except CorruptImage as reason:
            raise BadOption(f"{given}: {reason}.") from reason
    elif given.suffix.lower() == ".txt":
        yield from files.listed_pieces(given.resolve(), source)
    elif given.suffix.lower() in IMAGE_SUFFIXES:
        yield files.files_piece(source, given.parent.resolve(), [given.name])
    else:
        raise BadOption(f"{given} is no folder, image, .tar, .parquet or .txt list of files.")


def _folder_pieces(folder: Path, source: str) -> Iterator[Piece]:
    """Yield loose images first, then archives, both by name, then what is left out."""
    names, left_out = files.walk(folder)
    yield from files.cut(source, folder, [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES])
    for name in names:
        if name.lower().endswith(tar.TAR_SUFFIXES):
            yield tar.tar_piece(folder / name, f"{source}/{name}")
        elif name.lower().endswith(".parquet"):
            try:
                yield from parquet.parquet_pieces(folder / name, f"{source}/{name}")
            except CorruptImage as reason:
                left_out[name] = str(reason)
    if left_out:
        yield files.left_out_piece(source, folder, left_out.items())
