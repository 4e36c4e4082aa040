"""`configs/heads/NAME.py` → the mmengine config of a head at a size: the part of a protocol that the head decides."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from mmengine.config import Config

from transfer.errors import BadOption, BrokenInstallation, UnknownName
from transfer.openmmlab.tasks import task_type


@dataclass(frozen=True)
class Head:
    """A head's file: `task` names its type, `sizes` sets of the `arguments` (and their defaults) that `build` takes."""

    name: str
    task: str
    sizes: Mapping[str, Mapping[str, Any]]
    arguments: Mapping[str, Any]
    build: Callable[..., dict[str, Any]]

    def config(self, size: str, arguments: Mapping[str, Any]) -> Config:
        """Return the training at a size, deviating from it by `arguments`; neither path nor checkpoint stands in it.

        Raises UnknownName for a size or an argument that the head does not have, BadOption for a value of another type.
        """
        if size not in self.sizes:
            raise UnknownName.among(f"size of head {self.name}", size, self.sizes)
        given = {name: self._checked(name, value) for name, value in arguments.items()}
        task, built = task_type(self.task), self.build(**{**self.sizes[size], **given})
        return Config({**built, "default_scope": task.scope, "task": {"name": self.task, **built["task"]}})

    def _checked(self, name: str, value: Any) -> Any:
        if name not in self.arguments:
            raise UnknownName.among(f"argument of head {self.name}", name, self.arguments)
        value, example = _tuples(value), self.arguments[name]
        wanted = (int, float) if type(example) is float else (type(example),)
        if example is not inspect.Parameter.empty and type(value) not in wanted:
            raise BadOption(
                f"argument {name} of head {self.name} is {value!r}, a {type(value).__name__}; expected a "
                f"{type(example).__name__} such as {example!r}."
            )
        return value


def load_head(path: Path) -> Head:
    """Read a head that comes with this package: its file is Python and is executed."""
    module = _executed(path)
    own, passed = (_keywords(getattr(module, name, None)) for name in ("config", "PASSED_TO"))
    return Head(path.stem, module.TASK, module.SIZES, {**passed, **own}, module.config)


def _executed(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"transfer_head_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BrokenInstallation(f"{path} is no Python file. Install the package again.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _keywords(function: Callable[..., Any] | None) -> dict[str, Any]:
    """Return the keyword arguments of a function and their defaults."""
    parameters = {} if function is None else inspect.signature(function).parameters
    return {name: each.default for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}


def _tuples(value: Any) -> Any:
    """A TOML has lists where configs have tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
