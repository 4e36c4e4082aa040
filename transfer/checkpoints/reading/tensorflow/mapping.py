"""Files as memory."""

from __future__ import annotations

import mmap
from pathlib import Path


def mapped(path: Path) -> memoryview:
    """A file's bytes, read when they are used; what is written to them stays in memory."""
    with path.open("rb") as file:
        empty = not path.stat().st_size
        return memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
