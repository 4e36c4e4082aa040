"""Bound how long a value would be if everything in it were written out as often as it occurs.

A pickle may put a tuple twice into a tuple, that one twice into another, and so on: a few bytes for a value that takes
forever to print, to hash or to compare. Behind this check, every value can be handled like any other.

The extent of an item is 1 + the extents of its parts, computed once for each distinct object (by `id`, since hashing is
what must be avoided) after those of its parts: a depth-first walk with an explicit stack, on which a container is
pushed a second time to be summed up when its parts are done. Recursion would let a deep value overflow Python's stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from transfer.checkpoints.reading.pickles.inert import Inert
from transfer.checkpoints.reading.pickles.keys import refuse

FREE_ITEMS = 1_000_000
MOST_REPEATS = 4
"""How many times, on average, each item may be repeated once FREE_ITEMS items and letters are used up."""

MOST_BITS = 8192
"""Most bits of an integer; Python refuses to write out much longer ones."""

ENOUGH = 2**62
"""Extents are not counted beyond this."""

SINGLE = frozenset((float, bool, type(None), Tensor))
"""Types of which every value is one item."""


def check_extent(value: Any) -> None:
    """Raise UnreadableCheckpoint for a value far longer than what it holds, or with a giant integer in it.

    An object that is not loaded is written out as one name; its attributes are checked all the same.
    """
    extents: dict[int, int] = {}
    waiting: list[tuple[Any, bool]] = [(value, False)]
    held = longest = 0
    while waiting:
        item, entered = waiting.pop()
        if entered:
            extent = min(1 + sum(extents.get(id(part), 1) for part in _parts(item)), ENOUGH)
            extents[id(item)] = 1 if isinstance(item, Inert) else extent
            longest = max(longest, extent)
        elif id(item) not in extents:
            extents[id(item)] = own = 1 + _letters(item)  # until its parts are known, or if it contains itself
            held += own
            if parts := _parts(item):
                waiting.append((item, True))
                waiting.extend((part, False) for part in parts if type(part) not in SINGLE)
    if longest > FREE_ITEMS + MOST_REPEATS * held:
        refuse("repeats values inside one another until they have no end")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, tuple | list | set | frozenset) else ()


def _letters(value: Any) -> int:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        refuse(f"has an integer of more than {MOST_BITS:,} bits")
    return len(value) if isinstance(value, str | bytes | bytearray) else 0
