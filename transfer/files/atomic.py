"""Write files as a whole or not at all: under a temporary name, flushed, renamed."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from transfer.errors import BadOption, TransferError

FULL = 2**20
"""Bytes free at which a failed write is blamed on the disk."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it becomes `path`, on failure it vanishes.

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
    """Yield a temporary folder, which becomes `path`. Raises BadOption if that exists and is not empty."""
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
    """Write `value` as indented JSON, atomically; what UTF-8 cannot say, of names of files, is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def locked(path: Path, busy: TransferError) -> Iterator[None]:
    """Lock the file `path`, which stays. Raises `busy` where another process has the lock; a dead one never has."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy from error
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)  # closing would not do: forked data loaders may still hold the file


def check_output(path: Path) -> None:
    """Check, before the work and not after it, that a file `path` can be written. Raises BadOption."""
    parent = next(each for each in path.absolute().parents if each.exists())
    if path.is_dir():
        raise BadOption(f"{path} is a folder: expected the name of a file to write.")
    if not parent.is_dir():
        raise BadOption(f"{path} cannot be written: {parent} is no folder.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BadOption(f"{path} cannot be written: no permission to write in {parent}.")


def _remove_leftovers(folder: Path, prefix: str) -> None:
    for leftover in folder.glob(f"{glob.escape(prefix)}*.tmp"):
        writer = leftover.name.removeprefix(prefix).removesuffix(".tmp")
        if writer.isdecimal() and not _alive(int(writer)):
            _remove(leftover)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
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
