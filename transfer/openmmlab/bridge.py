"""A stand-in for mmcv's compiled extension `mmcv._ext`, for where mmcv was installed without a compiler.

mmcv looks its operators up in that module when `mmcv.ops` is imported. The stand-in serves those that
`transfer.openmmlab.ops` implements; any other can be looked up but not called. A compiled extension wins.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, NoReturn

from transfer.errors import MissingOp

EXTENSION = "mmcv._ext"


class BridgeLoader(Loader):
    """Makes the stand-in, so that it has a genuine `__spec__`."""

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module object will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Have `operator` answer for every name."""
        module.__dict__["__getattr__"] = operator


def install_bridge() -> bool:
    """Put the stand-in into `sys.modules`; False, and nothing is touched, where mmcv was compiled."""
    if compiled():
        return False
    if EXTENSION not in sys.modules:
        spec = ModuleSpec(EXTENSION, BridgeLoader())
        module = module_from_spec(spec)
        sys.modules[EXTENSION] = module
        BridgeLoader().exec_module(module)
    return True


def install_in_children() -> None:
    """Make processes started by `spawn` or `forkserver` import this package before they unpickle their arguments.

    A data set of mmdet unpickles by importing mmdet, which needs the stand-in first. A child unpickles its process
    object's attributes in order, the inherited `_config` before the arguments, and a function unpickles by import.
    """
    vars(multiprocessing.current_process())["_config"]["transfer"] = install_bridge


def compiled() -> bool:
    """Whether mmcv has its compiled extension, loaded or installed. Imports nothing."""
    if EXTENSION in sys.modules:
        return not isinstance(sys.modules[EXTENSION].__loader__, BridgeLoader)
    package = find_spec("mmcv")
    places = package.submodule_search_locations if package else None
    return bool(places) and PathFinder.find_spec(EXTENSION, places) is not None


def status() -> str:
    """Which operators mmcv uses, in a few words."""
    return "mmcv's own compiled operators" if compiled() else "mmcv's operators are torchvision's, through the bridge"


def operator(name: str) -> Callable[..., Any]:
    """The operator called `name`, or for one that nothing here implements a function that raises MissingOp."""
    if name.startswith("__"):
        raise AttributeError(name)
    from transfer.openmmlab.ops import OPERATORS  # torch and torchvision, when they are needed

    return OPERATORS.get(name) or _refusal(name, sorted(OPERATORS))


def _refusal(name: str, available: list[str]) -> Callable[..., NoReturn]:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise MissingOp(
            f"mmcv's compiled operator {name!r} is needed, and this mmcv was installed without compiled operators. "
            f"Through torchvision there are: {', '.join(available)}. Choose a model that needs only these, or build "
            "mmcv with its operators (needs a C++ compiler, and nvcc for GPUs): MMCV_WITH_OPS=1 pip install "
            "--no-build-isolation --no-binary onedl-mmcv --force-reinstall --no-deps onedl-mmcv. "
            "`transfer doctor` says which are in use."
        )

    return refuse
