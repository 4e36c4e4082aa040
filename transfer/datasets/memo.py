"""What was learned about files, remembered for as long as they do not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transfer.files.atomic import replacing

VERSION = 3


class Memo:
    """Facts keyed by path, size and modification time (nanoseconds), kept in one JSON file.

    Reading and adding are safe from several threads; two processes that save replace each other's file whole.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._facts: dict[str, Any] = _load(path)
        self._changed = False

    def get(self, key: str) -> Any | None:
        """The fact stored under `key`, or None."""
        return self._facts.get(key)

    def add(self, key: str, fact: Any) -> None:
        """Remember a JSON value under `key`."""
        self._facts[key] = fact
        self._changed = True

    def save(self) -> None:
        """Write the file, atomically, if anything was added."""
        if self._path is not None and self._changed:
            with replacing(self._path) as temporary:
                temporary.write_text(json.dumps({"version": VERSION, "facts": self._facts}), encoding="utf-8")
            self._changed = False


def file_key(path: Path, purpose: str) -> str:
    """Key of a fact about the present content of `path`; `purpose` separates different facts about one file."""
    stat = path.stat()
    return f"{purpose}:{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"


def _load(path: Path | None) -> dict[str, Any]:
    """The stored facts; a damaged or foreign file counts as empty, since all of it can be learned again."""
    if path is None:
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return dict(data["facts"]) if data["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
