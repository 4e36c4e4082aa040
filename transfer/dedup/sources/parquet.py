"""Images in a column of parquet files, read row by row."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

from transfer.dedup.sources.pieces import Entry, Piece
from transfer.dedup.sources.regular import TOO_LARGE, open_regular, reason_of, state_of, too_large
from transfer.errors import BadOption, CorruptImage
from transfer.files.fingerprint import fingerprint

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "bytes", "content", "data")
NAME_COLUMNS = ("path", "file_name", "filename", "key", "__key__", "url", "id")
"""Names of columns, the best first."""

ROWS = 16
"""Rows of a parquet file that are held at a time."""


def parquet_pieces(path: Path, source: str) -> list[Piece]:
    """Make a piece of each row group.

    Raises CorruptImage for what is no parquet file or has no column of images.
    """
    try:
        with open_regular(path) as opened:
            file = _parquet(opened)
            _columns(file.schema_arrow)
            groups = range(file.num_row_groups)
    except OSError as error:
        raise CorruptImage(f"cannot be read: {reason_of(error)}") from error
    keys = [fingerprint(["parquet", source, state_of(path), group]) for group in groups]
    return [Piece("parquet", source, path, (str(group),), key) for group, key in zip(groups, keys, strict=True)]


def read_piece(piece: Piece) -> Iterator[Entry]:
    """Read every image of a row group."""
    return _read(piece.path, int(piece.members[0]))


def read_images(path: Path, names: Collection[str]) -> Iterator[Entry]:
    """Read some images of the file `path`; their names begin with the number of their row group."""
    numbers = (name.partition("/")[0] for name in names)
    groups = sorted({int(number) for number in numbers if number.isdecimal()})
    return (entry for group in groups for entry in _read(path, group) if entry[0] in names)


def _parquet(file: io.BufferedReader) -> Any:
    """Open a parquet file. Raises CorruptImage for what is none, BadOption where nothing can read any."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise BadOption("reading parquet needs pyarrow. Install transfer-bench[parquet].") from error
    try:
        return parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise CorruptImage(f"not a parquet file: {reason_of(error).rstrip('.')}") from error


def _columns(schema: Any) -> tuple[str, str | None]:
    """Find the column of encoded images, bare bytes or Hugging Face's {bytes, path}, and that of their names, if any.

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


def _read(path: Path, group: int) -> Iterator[Entry]:
    """Read images of a row group. Where it is damaged it ends early, which is an entry of its own."""
    try:
        with open_regular(path) as opened:
            for number, (data, name) in enumerate(_rows(_parquet(opened), group)):
                yield f"{group}/{number}/{name}".rstrip("/"), _value(data)
    except BadOption:
        raise
    except Exception as error:  # pyarrow's own tree, OSError and CorruptImage
        yield f"row group {group}", CorruptImage(f"damaged parquet: {reason_of(error)}")


def _rows(file: Any, group: int) -> Iterator[tuple[Any, Any]]:
    """Yield bytes and name of each row of a row group, few of which are held at a time."""
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
    return CorruptImage(TOO_LARGE) if too_large(len(data)) else data
