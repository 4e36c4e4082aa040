"""The state of the machine that runs a pickle, everything that it may do, and its budgets.

Only rebuilding functions of this package and inert classes are ever called. What is built is bounded by counters, and
what is copied by a budget that grows with the length of the pickle: the package's docstring says why.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from transfer.checkpoints.reading.deferred import Unaligned
from transfer.checkpoints.reading.pickles.arrays import Shell
from transfer.checkpoints.reading.pickles.inert import Inert, InertClass, Rebuilder
from transfer.checkpoints.reading.pickles.keys import may_collide, name_of, refuse
from transfer.checkpoints.reading.pickles.rebuilding import StorageType, resolve

MOST_CONTAINERS = 1_000_000
MOST_TENSORS = 400_000
MOST_REMEMBERED = 2_000_000
MOST_OPEN = MOST_NAMES = 10_000
MOST_COLLIDING_KEYS = 10_000
MOST_REPEATED = 2**28
FREE_COPIES = 2**20
"""Items that calls may copy however short the pickle is."""

MOST_COPIES = 3
"""How many times the length of the pickle calls may copy."""

SIZED = (str, bytes, bytearray, memoryview, list, tuple, dict, set, frozenset, Inert)
LOAD = "torch.storage._load_from_bytes"

StorageValues = torch.Tensor | Unaligned
Storage = Callable[[str, torch.dtype, int, Any], StorageValues]
"""`(key, dtype, numel, view)` → the 1-D data of tensors."""
Nested = Callable[[bytes], Any]
"""A torch file inside a pickle → its value."""


class Machine:
    """A stack, marks in it, remembered objects, and counters of what was built."""

    def __init__(self, data: memoryview, position: int, storage: Storage, nested: Nested) -> None:
        self.data, self.position, self._length = data, position, len(data)
        self.stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self._storage, self._nested = storage, nested
        self._globals: dict[tuple[str, str], Any] = {}
        self._containers = self._tensors = self._colliding_keys = self._repeated = 0
        # A call may copy its arguments, and `memo` hands out the same long argument to any number of calls.
        self._copy_budget = FREE_COPIES + MOST_COPIES * len(data)

    def take(self, size: int) -> memoryview:
        """Return the next `size` bytes."""
        start = self.position
        self.position = end = start + size
        if not start <= end <= self._length:
            raise EOFError(f"{size:,} bytes at {start:,} of {self._length:,}")
        return self.data[start:end]

    def line(self) -> bytes:
        """Return the bytes up to the end of the line, which is passed."""
        size = 100
        while True:
            piece = bytes(self.data[self.position : self.position + size])
            if (end := piece.find(b"\n")) >= 0:
                self.position += end + 1
                return piece[:end]
            if len(piece) < size:
                raise EOFError("a line without an end")
            size *= 10

    def mark(self) -> None:
        """Begin a list of operands."""
        self._marks.append(self.stack)
        self.stack = []
        if len(self._marks) > MOST_OPEN:
            refuse(f"opens more than {MOST_OPEN:,} lists in one another")

    def since_mark(self) -> list[Any]:
        """Return the operands since the last mark."""
        items, self.stack = self.stack, self._marks.pop()
        return items

    def push_new(self, value: Any) -> None:
        """Push something that takes memory."""
        self._containers += 1
        if self._containers > MOST_CONTAINERS:
            refuse(f"builds more than {MOST_CONTAINERS:,} objects")
        self.stack.append(value)

    def remember(self, index: int) -> None:
        """Note the top of the stack under a number."""
        value = self.memo[index] = self.stack[-1]
        if type(value) is Shell:
            value.remembered.append(index)
        if len(self.memo) > MOST_REMEMBERED:
            refuse(f"remembers more than {MOST_REMEMBERED:,} objects")

    def check_keys(self, keys: Iterable[Any]) -> None:
        """Count keys that could be made to collide."""
        self._colliding_keys += sum(may_collide(key) for key in keys if type(key) is not str)
        if self._colliding_keys > MOST_COLLIDING_KEYS:
            refuse(f"has more than {MOST_COLLIDING_KEYS:,} keys that are neither names nor small numbers")

    def find(self, module: str, name: str) -> Any:
        """Return what stands for a global. Raises UnsafeCheckpoint for a dangerous one."""
        known = self._globals.get((module, name))
        if known is None:
            if len(self._globals) >= MOST_NAMES:
                refuse(f"names more than {MOST_NAMES:,} classes and functions")
            known = Rebuilder(self._nested) if f"{module}.{name}" == LOAD else resolve(module, name)
            self._globals[module, name] = known
        return known

    def call(self, function: Any, args: Any, options: Mapping[Any, Any] | None = None) -> Any:
        """Call a rebuilding function, or construct an inert object."""
        if not isinstance(args, tuple):
            raise pickle.UnpicklingError(f"arguments that are a {type(args).__name__}")
        self.charge(args)
        if isinstance(function, InertClass):
            return function.build(args, options or {})
        if not isinstance(function, Rebuilder):
            raise pickle.UnpicklingError(f"a call of a {type(function).__name__}, which is no function")
        made = function.function(*args)
        if isinstance(made, torch.Tensor):
            self._count_tensor(made)
        return made

    def charge(self, values: Iterable[Any]) -> None:
        """Count what a call may copy: all calls together no more than a few times the pickle's own length.

        An array of protocol 2 is copied twice: from text to bytes, and into its tensor.
        """
        self._copy_budget -= sum(len(value) for value in values if isinstance(value, SIZED))
        if self._copy_budget < 0:
            refuse("copies the same values again and again")

    def _count_tensor(self, tensor: torch.Tensor | None = None) -> None:
        self._tensors += 1
        if self._tensors > MOST_TENSORS:
            refuse(f"builds more than {MOST_TENSORS:,} tensors")
        # strides of 0 show few bytes as a tensor of any size, which whoever makes it contiguous would have to hold
        if tensor is not None and not tensor.is_contiguous():
            self._repeated += max(0, tensor.numel() * tensor.itemsize - tensor.untyped_storage().nbytes())
        if self._repeated > MOST_REPEATED:
            refuse(f"repeats the numbers of small tensors to more than {MOST_REPEATED:,} bytes")

    def reference(self, pid: Any) -> Any:
        """Return the data of a storage, or the class of a module.

        A persistent id is `("storage", type, key, location, numel[, view])` or `("module", class, ...)`.
        """
        if not isinstance(pid, tuple) or not pid:
            raise pickle.UnpicklingError(f"a reference that is a {type(pid).__name__}")
        if pid[0] == "module":
            return pid[1]
        kind, key, _location, numel, *view = pid[1:]
        if not isinstance(kind, StorageType):
            raise pickle.UnpicklingError(f"a storage whose type is a {type(kind).__name__}")
        self._count_tensor()
        return self._storage(name_of(key), kind.dtype, int(numel), view[0] if view else None)
