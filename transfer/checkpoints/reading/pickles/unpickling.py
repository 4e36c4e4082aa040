"""Read a pickle of any protocol without running anything.

A global is one of the rebuilding functions defined in this package, or an inert class that swallows what it is
constructed with; names that only an attack would use are refused. Opcodes: Python's pickletools.
"""

from __future__ import annotations

import pickle
from itertools import repeat
from typing import Any

from transfer.checkpoints.reading.pickles.extent import check_extent
from transfer.checkpoints.reading.pickles.keys import refuse
from transfer.checkpoints.reading.pickles.machine import Machine, Nested, Storage
from transfer.checkpoints.reading.pickles.opcodes import OPCODES

MOST_INSTRUCTIONS = 10_000_000


def no_storage(*_: Any) -> Any:
    """Refuse storages, for pickles that hold no tensors."""
    raise pickle.UnpicklingError("a storage where none can be")


def unpickle(
    data: bytes | memoryview, storage: Storage = no_storage, nested: Nested = no_storage, start: int = 0
) -> tuple[Any, int]:
    """Return the value of the pickle that begins at `start`, and where it ends.

    `storage` provides the 1-D data of tensors, `nested` reads a torch file inside the pickle. Raises UnsafeCheckpoint
    for a dangerous name, UnpicklingError and other exceptions for damage.
    """
    machine = Machine(memoryview(data), start, storage, nested)
    stop, code = pickle.STOP[0], machine.data
    for _ in repeat(None, MOST_INSTRUCTIONS):
        instruction = code[machine.position]
        machine.position += 1
        if instruction == stop:
            value = machine.stack.pop()
            check_extent(value)
            return value, machine.position
        OPCODES[instruction](machine)
    refuse(f"has more than {MOST_INSTRUCTIONS:,} instructions")
