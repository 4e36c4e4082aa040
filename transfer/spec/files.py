"""Whole files or none: written under a temporary name, flushed, renamed."""

from __future__ import annotations

import errno
import glob
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transfer.errors import BadOption

FULL = 2**20
"""Bytes free at which a failed write is blamed on the disk."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it vanishes.

    What a killed writer of the same path left behind on this machine vanishes, too. Raises OSError (ENOSPC) when the
    writing failed because the disk is full, whatever the library that wrote made of it.
    """
    with _temporary(path) as temporary:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder, which the writer fills. Raises BadOption where something stands already."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise BadOption(f"{path} exists already: name a new or an empty folder, or remove it first.")
    with _temporary(path) as temporary:
        temporary.mkdir()
        yield temporary
        temporary.replace(path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.{platform.node()}."
    _remove_leftovers(path.parent, prefix)
    temporary = path.with_name(f"{prefix}{os.getpid()}.tmp")
    try:
        yield temporary
    except Exception as error:
        # torch and safetensors report a full disk as errors of their own
        if shutil.disk_usage(path.parent).free < FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        _remove(temporary)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _remove_leftovers(folder: Path, prefix: str) -> None:
    for leftover in folder.glob(f"{glob.escape(prefix)}*.tmp"):
        writer = leftover.name.removeprefix(prefix).removesuffix(".tmp")
        if writer.isdecimal() and not _alive(int(writer)):
            _remove(leftover)


def _remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
