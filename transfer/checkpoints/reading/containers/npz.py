"""Read NumPy's `.npz` and `.npy`: arrays behind a header of type, order and shape (numpy/lib/format.py).

Arrays of objects are pickles; they go through the unpickler that runs nothing.
"""

from __future__ import annotations

import math
import re
from typing import Any

from transfer.checkpoints.reading.containers.archive import STORED, Archive, Entry
from transfer.checkpoints.reading.deferred import Deferred, loaded
from transfer.checkpoints.reading.pickles.arrays import ArrayType, array, values_in
from transfer.checkpoints.reading.pickles.unpickling import unpickle

MAGIC = b"\x93NUMPY"
SUFFIX = ".npy"
LONGEST_HEADER = 4096
HEADER = re.compile(r"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), 'shape': \(([\dL, ]{0,1500})\), ?\}\s*")


def is_npz(archive: Archive) -> bool:
    """Tell whether an archive holds arrays and nothing else."""
    return bool(archive.entries) and all(name.endswith(SUFFIX) for name in archive.entries)


def read_npz(archive: Archive) -> dict[str, Any]:
    """Read tensors by name; names may have slashes. What is compressed is unpacked when it is used."""
    return {name.removesuffix(SUFFIX): _entry(archive, entry) for name, entry in archive.entries.items()}


def _entry(archive: Archive, entry: Entry) -> Any:
    kind, fortran, shape, start = _header(memoryview(archive.read(entry, LONGEST_HEADER)), entry.name)
    if entry.method == STORED or kind.torch is None:
        return read_npy(archive.view(entry), entry.name)
    if entry.size - start != math.prod(shape) * kind.torch.itemsize:
        raise EOFError(f"{entry.name} of shape {shape} and type {kind.code} has {entry.size - start:,} bytes")
    unpack = archive.unpacker(entry)
    return Deferred(
        shape, None, kind.torch, lambda: loaded(values_in(memoryview(unpack())[start:], kind, shape, fortran))
    )


def read_npy(data: memoryview, name: str) -> Any:
    """Read a tensor, or the value in an array of objects. Raises ValueError for a header that numpy does not write."""
    kind, fortran, shape, start = _header(data[:LONGEST_HEADER], name)
    if kind.code == "O":
        value, _ = unpickle(data, start=start)
        return value
    return array(data[start:], kind, shape, fortran)


def _header(data: memoryview, name: str) -> tuple[ArrayType, bool, list[int], int]:
    if bytes(data[:6]) != MAGIC or len(data) < 10:
        raise ValueError(f"{name} is no NumPy array")
    width = 2 if data[6] == 1 else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    text = bytes(data[8 + width : start]).decode("latin-1")
    match = HEADER.fullmatch(text)
    if match is None or start > len(data):
        raise ValueError(f"{name} has a header that is cut or of records: {text[:80]!r}")
    sides = [int(side) for side in re.findall(r"\d+", match[3])]
    return ArrayType(match[1]), match[2] == "True", sides, start
