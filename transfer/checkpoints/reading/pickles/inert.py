"""Objects that a pickle may build, fill and call without anything happening."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Inert(Mapping[str, Any]):
    """Stands for an object that is not loaded, such as an argparse.Namespace: its state, as a mapping.

    `origin` is the name of its class; arguments of its construction stand under `args`, items of a list or set under
    `items`.
    """

    __slots__ = ("_fields", "origin")

    def __init__(self, origin: str, fields: dict[Any, Any]) -> None:
        self.origin, self._fields = origin, fields

    def fill(self, state: Any) -> None:
        """Take over attributes: a dict, or a pair of dicts where the class has slots; anything else as `state`."""
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        dicts = [part for part in parts if isinstance(part, dict)]
        for part in dicts:
            self._fields.update(part)
        if not dicts and state is not None:
            self._fields["state"] = state

    def append(self, value: Any) -> None:
        """Keep an item of a list or set."""
        self._fields.setdefault("items", []).append(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._fields[key] = value

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


class InertClass:
    """Stands for a class or function that is not loaded: what it builds is inert.

    `names` are the fields of a named tuple.
    """

    __slots__ = ("names", "origin")

    def __init__(self, origin: str, names: tuple[str, ...] = ()) -> None:
        self.origin, self.names = origin, names

    def build(self, args: tuple[Any, ...], options: Mapping[Any, Any]) -> Inert:
        """Build an object from the arguments of its construction; a lone mapping is taken for its items."""
        if self.names:
            return Inert(self.origin, dict(zip(self.names, args, strict=False)))
        if len(args) == 1 and isinstance(args[0], Mapping):
            return Inert(self.origin, {**args[0], **options})
        return Inert(self.origin, {"args": args, **options} if args else dict(options))

    def __repr__(self) -> str:
        return f"<inert class {self.origin}>"


class BareDict(dict[Any, Any]):
    """A dict that drops the attributes which a pickle gives it, such as a state dict's `_metadata`."""


class Rebuilder:
    """A function that the pickle may call."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
