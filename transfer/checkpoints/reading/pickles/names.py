"""What stands for a global of a pickle."""

from __future__ import annotations

from typing import Any

from transfer.checkpoints.reading.pickles.dangerous import refuse_dangerous
from transfer.checkpoints.reading.pickles.inert import InertClass, Rebuilder
from transfer.checkpoints.reading.pickles.rebuilding import DTYPES, REBUILDERS, STORAGES, StorageType

OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Names that moved; torch's default protocol still writes Python 2's."""


def resolve(module: str, name: str) -> Any:
    """A table entry or an inert class; raises UnsafeCheckpoint for a dangerous name."""
    refuse_dangerous(module, name)
    module = module.replace("numpy._core", "numpy.core")
    dotted = f"{OLD_MODULES.get(module, module)}.{name}"
    if module in ("torch", "torch.storage", "torch.cuda") and name in STORAGES:
        return StorageType(STORAGES[name])
    if module == "torch" and name in DTYPES:
        return DTYPES[name]
    if dotted in REBUILDERS:
        return Rebuilder(REBUILDERS[dotted])
    return InertClass(dotted)
