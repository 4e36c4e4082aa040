"""Pieces: images that are hashed together, and what every kind of source says of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from transfer.errors import CorruptImage

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
)

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


class Source(Protocol):
    """A kind of place that holds images; each of the modules `files`, `tar` and `parquet` is one."""

    def read_piece(self, piece: Piece) -> Iterator[Entry]:
        """Read every image of a piece by name, in order."""

    def read_images(self, path: Path, names: Collection[str]) -> Iterator[Entry]:
        """Read some images of the source at `path`, which is read once, however many they are."""
