"""Progress bars on stderr, for work that takes more than a moment."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

QUIET_SECONDS = 2.0
"""No progress bar before this long."""


def with_progress(items: Iterable[T], doing: str, total: int, unit: str) -> Iterator[T]:
    """Yield `items`, of which there are `total`, while a bar says how many are done; it vanishes at the end."""
    bar = tqdm(items, doing, total, unit=unit, file=sys.stderr, delay=QUIET_SECONDS, leave=False)
    return iter(bar)
