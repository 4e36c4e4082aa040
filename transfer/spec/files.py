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

FULL = 2**20
"""Bytes free at which a failed write is blamed on the disk."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it vanishes.

    What a killed writer of the same path left behind on this machine vanishes, too. Raises OSError (ENOSPC) when the
    writing failed because the disk is full, whatever the library that wrote made of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.{platform.node()}."
    _remove_leftovers(path.parent, prefix)
    temporary = path.with_name(f"{prefix}{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        # torch and safetensors report a full disk as errors of their own
        if shutil.disk_usage(path.parent).free < FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _remove_leftovers(folder: Path, prefix: str) -> None:
    for leftover in folder.glob(f"{glob.escape(prefix)}*.tmp"):
        writer = leftover.name.removeprefix(prefix).removesuffix(".tmp")
        if writer.isdecimal() and not _alive(int(writer)):
            leftover.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
