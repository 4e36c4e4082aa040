"""Read one file, whose container is told by its first bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer.checkpoints.reading.containers.archive import read_archive
from transfer.checkpoints.reading.containers.npz import MAGIC, is_npz, read_npy, read_npz
from transfer.checkpoints.reading.containers.safetensors import tensors_in
from transfer.checkpoints.reading.containers.torch_legacy import read_legacy, read_nested
from transfer.checkpoints.reading.containers.torch_zip import read_torch_zip
from transfer.checkpoints.reading.pickles.modules import with_state_dicts
from transfer.checkpoints.reading.source import Source, opened
from transfer.errors import UnreadableCheckpoint, UnsafeCheckpoint

PICKLE = re.compile(
    rb"\x80[\x02-\x05]|\(dp?\d*\n|\}[q(]|\(lp\d+\n|\]q|\(?c[\w.]+\n[\w.]+\n|\(i[\w.]+\n[\w.]+\n|\(S'[^'\n]*'\n"
)
"""How pickles begin: with their protocol, or, in protocols 0 and 1, with a dict, a list or a global."""

LONGEST_NAME = 255

FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a git-lfs pointer: fetch the file itself with `git lfs pull`"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ", "an xz archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it first"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x7fELF", "a program"),
)


@dataclass(frozen=True)
class Content:
    """The content of a container: any value, and a safetensors file's own metadata."""

    container: str
    value: Any
    metadata: Mapping[str, str] = field(default_factory=dict)


def is_file_name(name: Any) -> bool:
    """Tell whether a name that stands in a file leads to a neighbour of that file, and nowhere else."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not set(name) & set("/\\\0")
        and len(name.encode("utf-8", "replace")) <= LONGEST_NAME
    )


def read_file(file: Path) -> Content:
    """Read the content of one file.

    Raises UnreadableCheckpoint for what is damaged or no checkpoint, UnsafeCheckpoint for a file that tries to run
    code; both name the file.
    """
    with opened(file) as source:
        return read_source(source, file)


def read_source(source: Source, file: Path) -> Content:
    """Read the content of bytes that stand in `file`. Raises as `read_file`."""
    try:
        return _read(source, file)
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(f"{file}: {error}") from error
    except UnreadableCheckpoint as error:
        raise UnreadableCheckpoint(f"{file} cannot be read: {error}") from error
    except Exception as error:  # in damaged bytes any opcode meets any stack, and any header any length
        raise UnreadableCheckpoint(
            f"{file} is damaged or truncated ({type(error).__name__}: {error!s:.200}). {_again(source)}"
        ) from error


def _read(source: Source, file: Path) -> Content:
    head = source.read(0, min(1024, len(source)))
    if not head:
        raise UnreadableCheckpoint(f"it is empty (0 bytes). {_again(source)}")
    if head.startswith(b"PK\x03\x04"):
        archive = read_archive(source)
        container, value = ("numpy npz", read_npz(archive)) if is_npz(archive) else read_torch_zip(archive, file.name)
        return Content(container, with_state_dicts(value))
    if head.startswith(MAGIC):
        return Content("numpy npy", read_npy(source.view(0, len(source)), file.name))
    if len(head) > 8 and head[8:9] == b"{":
        return Content("safetensors", *tensors_in(source))
    if PICKLE.match(head):
        container, value = read_legacy(source, read_nested)
        return Content(container, with_state_dicts(value))
    raise UnreadableCheckpoint(
        f"it is no checkpoint but {_foreign(head)}. Expected a torch file (.pth, .pt, .pth.tar, .bin), .safetensors, "
        f".npz or .pkl. {_again(source)}"
    )


def _foreign(head: bytes) -> str:
    for magic, name in FOREIGN:
        if head.startswith(magic):
            return name
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, probably an error message or a login form that was saved under this name"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it, or re-save a torch file of before 2017 with a newer torch"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return f"text that begins with {head[:40].decode('utf-8', 'replace')!r}"
    return f"binary data that begins with {head[:8].hex(' ')}"


def _again(source: Source) -> str:
    return f"Download or copy it again and compare its size ({len(source):,} bytes here) with the source's."
