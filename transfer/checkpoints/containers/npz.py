"""NumPy's `.npz` and `.npy`: arrays behind a header of type, order and shape (numpy/lib/format.py).

Arrays of objects are pickles; they go through the unpickler that runs nothing.
"""

from __future__ import annotations

import re
from typing import Any

from transfer.checkpoints.containers.archive import Archive
from transfer.checkpoints.pickles.arrays import ArrayType, array
from transfer.checkpoints.pickles.unpickling import unpickle

MAGIC = b"\x93NUMPY"
SUFFIX = ".npy"
HEADER = re.compile(r"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), 'shape': \(([\dL, ]{0,1500})\), ?\}\s*")


def is_npz(archive: Archive) -> bool:
    """Whether an archive holds arrays and nothing else."""
    return bool(archive.entries) and all(name.endswith(SUFFIX) for name in archive.entries)


def read_npz(archive: Archive) -> dict[str, Any]:
    """Name → tensor; names may have slashes."""
    return {name.removesuffix(SUFFIX): read_npy(archive.view(entry), name) for name, entry in archive.entries.items()}


def read_npy(data: memoryview, name: str) -> Any:
    """The tensor, or the value in an array of objects. Raises ValueError for a header that numpy does not write."""
    kind, fortran, shape, start = _header(data, name)
    if kind.code == "O":
        value, _ = unpickle(data, start=start)
        return value
    return array(data[start:], kind, shape, fortran)


def _header(data: memoryview, name: str) -> tuple[ArrayType, bool, list[int], int]:
    if bytes(data[:6]) != MAGIC or len(data) < 10:
        raise ValueError(f"{name} is no NumPy array")
    width = 2 if data[6] == 1 else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    text = bytes(data[8 + width : min(start, 10_000)]).decode("latin-1")
    match = HEADER.fullmatch(text)
    if match is None or start > len(data):
        raise ValueError(f"{name} has a header that is cut or of records: {text[:80]!r}")
    sides = [int(side) for side in re.findall(r"\d+", match[3])]
    return ArrayType(match[1]), match[2] == "True", sides, start
