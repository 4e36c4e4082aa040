"""Limit which values may become names, keys of a dict or members of a set.

Writing out and hashing are where a small pickle can take forever: a tuple is hashed by walking everything in it, and
numbers can be chosen to collide.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any, NoReturn

from transfer.errors import UnreadableCheckpoint

LARGEST_KEY = 1000
MOST_COLLIDING = 100
DISTINCT = 2**60
"""Integers below this have hashes of their own."""


def refuse(what: str) -> NoReturn:
    """Raise UnreadableCheckpoint for a pickle that asks for more than any checkpoint needs."""
    raise UnreadableCheckpoint(
        f"its pickle {what}, which no weights need: it is damaged or made to exhaust the machine. Ask its author for a "
        ".safetensors file."
    )


def name_of(value: Any) -> str:
    """Return a text, or a small number as text. Raises UnpicklingError for anything else."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str) and not (isinstance(value, int) and abs(value) < DISTINCT):
        raise pickle.UnpicklingError(f"a {type(value).__name__} where a name should be")
    return str(value)


def may_collide(key: Any) -> bool:
    """Tell whether many such keys could be made to collide.

    Raises UnreadableCheckpoint for what must not be hashed.
    """
    if isinstance(key, str | bytes | bool | None) or (isinstance(key, int) and abs(key) < DISTINCT):
        return False
    if isinstance(key, tuple | frozenset):
        _refuse_large(key)
    return True


def checked(keys: Iterable[Any]) -> list[Any]:
    """Return the keys of one set or dict that a call makes.

    Raises UnreadableCheckpoint for those that must not be hashed.
    """
    found = list(keys)
    if sum(map(may_collide, found)) > MOST_COLLIDING:
        refuse(f"has a set of more than {MOST_COLLIDING} items that are neither names nor small numbers")
    return found


def _refuse_large(key: Any) -> None:
    """Count the items of nested tuples and sets, each as often as hashing or comparing would meet it."""
    waiting, count = [key], 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, tuple | frozenset):
            count += 1 + len(value)
            waiting.extend(value)
        if count > LARGEST_KEY:
            refuse(f"has a key of more than {LARGEST_KEY} nested items")
