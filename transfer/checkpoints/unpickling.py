"""Pickles without execution.

Nothing that a pickle names is ever imported. A global is one of the rebuilding functions defined here, or an inert
class that swallows what it is constructed with; names that only an attack would use are refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import IO, Any, ClassVar

import torch

from transfer.checkpoints.dangerous import refuse_dangerous
from transfer.checkpoints.inert import Rebuilder, inert_class
from transfer.checkpoints.rebuilding import DTYPES, REBUILDERS, STORAGES, StorageType

DEEPEST_TUPLE = 100
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Old names of modules, which torch's default protocol still writes."""


class SafeUnpickler(pickle._Unpickler):
    """An unpickler that resolves globals by table; `storage(key, dtype, numel, view)` provides the 1-D data.

    It is Python's own implementation in Python: milliseconds slower, but tuples can be counted, whose hash would
    overflow the C stack if they were nested deeply enough.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: IO[bytes], storage: Callable[..., torch.Tensor]) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self._storage = storage
        self._depths: dict[int, int] = {}

    def _load_tuple(self, build: Callable[[Any], None]) -> None:
        build(self)
        made = self.stack[-1]  # type: ignore[attr-defined]
        depth = 1 + max((self._depths.get(id(item), 0) for item in made if isinstance(item, tuple)), default=0)
        if depth > DEEPEST_TUPLE:
            raise pickle.UnpicklingError(f"tuples nested more than {DEEPEST_TUPLE} deep")
        self._depths[id(made)] = depth

    dispatch[pickle.TUPLE[0]] = partial(_load_tuple, build=dispatch[pickle.TUPLE[0]])
    dispatch[pickle.TUPLE1[0]] = partial(_load_tuple, build=dispatch[pickle.TUPLE1[0]])
    dispatch[pickle.TUPLE2[0]] = partial(_load_tuple, build=dispatch[pickle.TUPLE2[0]])
    dispatch[pickle.TUPLE3[0]] = partial(_load_tuple, build=dispatch[pickle.TUPLE3[0]])

    def find_class(self, module: str, name: str, /) -> Any:
        """A table entry or an inert class; raises UnsafeCheckpoint for a dangerous name."""
        refuse_dangerous(module, name)
        module = PYTHON_2.get(module, module)
        dotted = f"{module}.{name}"
        if module in ("torch", "torch.storage", "torch.cuda") and name in STORAGES:
            return StorageType(STORAGES[name])
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if dotted in REBUILDERS:
            return Rebuilder(REBUILDERS[dotted])
        return inert_class(module, name)

    def persistent_load(self, pid: Any, /) -> Any:
        """`("storage", type, key, location, numel[, view])` → its data; `("module", class, ...)` → the class."""
        if not isinstance(pid, tuple) or not pid:
            raise pickle.UnpicklingError(f"a reference of unknown form {pid!r:.80}")
        if pid[0] == "module":
            return pid[1]
        kind, key, _location, numel, *view = pid[1:]
        if not isinstance(kind, StorageType):
            raise pickle.UnpicklingError(f"a storage of unknown type {kind!r:.80}")
        return self._storage(str(key), kind.dtype, int(numel), view[0] if view else None)
