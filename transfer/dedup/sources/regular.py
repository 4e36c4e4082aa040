"""Open and read regular files of anyone's machine: no pipes, no devices, nothing larger than a photograph can be."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from transfer.errors import CorruptImage

MOST_BYTES = 2**28
"""A larger file is no photograph, and is not read."""

TOO_LARGE = f"larger than {MOST_BYTES >> 20} MiB"


def too_large(size: int) -> bool:
    """Tell whether an image of `size` bytes is not read."""
    return size > MOST_BYTES


def read_file(path: Path) -> bytes | CorruptImage:
    """Read the bytes of an image file, or say why there are none."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if too_large(size) else file.read(size + 1)
            if len(data) > size:  # it grows, or its file system does not know
                data += file.read(MOST_BYTES + 1 - len(data))
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        return CorruptImage(f"cannot be read: {reason_of(error)}")
    return CorruptImage(TOO_LARGE) if too_large(max(size, len(data))) else data


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file, at the end of any links.

    Raises OSError for anything else, and waits for no pipe's other end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb")


def state_of(path: Path) -> list[int]:
    """Return size and modification time; nothing for a file that is not there."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def reason_of(error: Exception) -> str:
    """Say what went wrong, without the path: an index says nothing of the machine it was made on."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
