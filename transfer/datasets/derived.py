"""Annotations in the two forms that training and scoring read, derived once below the work directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from transfer.datasets.problems import Problem
from transfer.files.atomic import replacing_folder, write_json
from transfer.files.fingerprint import fingerprint

VERSION = 1
"""Raised by one whenever a conversion changes."""

PROBLEMS = "problems.json"

Write = Callable[[Path], Iterable[Problem]]


def derive(home: Path, name: str, meaning: Any, sources: Sequence[Path], write: Write) -> Path:
    """The folder below `home` that `write` has filled from `sources`, or fills now: whole or not at all.

    Its name hashes what the conversion was told (`meaning`, plain values) and path, size and modification time of every
    source, so a source that changes is converted anew. The user's own folders are only read.
    """
    key = fingerprint([VERSION, meaning, [_state(path) for path in sources]])
    folder = home / f"{name}-{key}"
    if not (folder / PROBLEMS).is_file():
        with replacing_folder(folder) as temporary:
            write_json(temporary / PROBLEMS, [problem.text for problem in write(temporary)])
    return folder


def problems_of(folder: Path) -> tuple[Problem, ...]:
    """What `write` found wrong with its sources."""
    return tuple(Problem(text) for text in json.loads((folder / PROBLEMS).read_text(encoding="utf-8")))


def _state(path: Path) -> list[Any]:
    if not path.exists():
        return [str(path)]
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
