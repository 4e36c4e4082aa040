"""Objects that a pickle may build, fill and call without anything happening."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Inert(Mapping[str, Any]):
    """Stands for an object of a class that is not loaded, such as argparse.Namespace: its state, as a mapping."""

    origin = ""
    _fields: dict[Any, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        """Accept any construction; the positional arguments are kept under `args`."""
        self = super().__new__(cls)
        self._fields = {"args": args} if args else {}
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `__new__` did it."""

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        for part in parts:
            if isinstance(part, dict):
                self._fields.update(part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._fields[key] = value

    def append(self, value: Any) -> None:
        """Swallow the items of a list subclass."""

    def extend(self, values: Any) -> None:
        """Swallow the items of a list subclass."""

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<inert {self.origin}>"


class Plain(dict[Any, Any]):
    """A dict that ignores the attributes a pickle would give it (a state dict's `_metadata`)."""

    def __setstate__(self, state: Any) -> None:
        """Nothing."""


class Rebuilder:
    """A function that the pickle may call and cannot alter."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        """What the function returns."""
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a pickle tries to alter a function")

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a pickle tries to alter a function")


def inert_class(module: str, name: str) -> type[Inert]:
    """A class of its own for each global, so that it says what it stands for."""
    return type(name.split(".")[-1] or "Unnamed", (Inert,), {"origin": f"{module}.{name}"})
