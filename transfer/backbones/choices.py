"""Options that have a few named values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transfer.errors import UnknownName


def choice(options: Mapping[str, Any], option: str, known: Sequence[str]) -> str:
    """The value of `option`, the first of `known` where it is not given. Raises UnknownName for another."""
    value = options.get(option, known[0])
    if value not in known:
        raise UnknownName.among(option.replace("_", " "), value, known)
    return str(value)
