"""`mmcv._ext` without a compiler: its operators, served by torchvision's compiled ones."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from transfer.errors import MissingOp
from transfer.openmmlab import ops

NAME = "mmcv._ext"


class Bridge(ModuleType):
    """A module with an attribute for every operator name; those that nothing here replaces raise when called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _missing(name)


def install_bridge() -> bool:
    """Register the bridge as `mmcv._ext`, unless compiled operators exist; says whether the bridge is in use."""
    if isinstance(sys.modules.get(NAME), Bridge):
        return True
    if NAME in sys.modules or importlib.util.find_spec(NAME) is not None:
        return False
    module = Bridge(NAME, "Operators of mmcv, computed by torchvision.")
    module.__spec__ = ModuleSpec(NAME, loader=None, origin="transfer.openmmlab.bridge")
    for operator in ops.OPERATORS:
        setattr(module, operator.__name__, operator)
    sys.modules[NAME] = module
    return True


def status() -> str:
    """Which operators are in use, for people."""
    return "mmcv operators come from torchvision" if install_bridge() else "mmcv has compiled operators"


def _missing(name: str) -> Callable[..., Any]:
    def operator(*_: Any, **__: Any) -> Any:
        raise MissingOp(
            f"the operator {name!r} of mmcv is compiled code that torchvision does not replace. Recipes of this "
            f"project do not need it; a config that does needs mmcv built from source for this torch: "
            f"MMCV_WITH_OPS=1 pip install --no-build-isolation --no-binary onedl-mmcv onedl-mmcv."
        )

    operator.__name__ = name
    return operator
