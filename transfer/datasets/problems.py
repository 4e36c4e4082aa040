"""What can be wrong with a data set, collected before anything is raised."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from transfer.errors import BrokenAnnotation, CorruptImage, DataError

SHOWN = 20
"""Lines of one report, about."""

LEAST = 3
"""Lines of each sort of problem, however many sorts there are."""

VARIABLE = re.compile(r"\[.*?\]|\S*[\d/]\S*")
"""What differs between problems of one sort: numbers, paths, file names with digits, boxes."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class Problem:
    """One line of the report; `image` says that the image file itself is damaged, `absent` that it is not there."""

    text: str
    image: bool = False
    absent: bool = False


def raise_problems(problems: Sequence[Problem], source: Path) -> None:
    """Raise one error that lists `problems` of the annotations at `source`; return when there are none.

    Raises CorruptImage when only image files are damaged, else BrokenAnnotation.
    """
    if problems:
        raise _error(problems, source)


def gather(checks: Iterable[Callable[[], Result]]) -> list[Result]:
    """Results of all `checks`. What they raise is raised as one error once all have run, so that nothing hides."""
    results, errors = [], []
    for check in checks:
        try:
            results.append(check())
        except DataError as error:
            errors.append(error)
    if errors:
        kinds = {type(error) for error in errors}
        raise (kinds.pop() if len(kinds) == 1 else BrokenAnnotation)("\n\n".join(dict.fromkeys(map(str, errors))))
    return results


def _error(problems: Sequence[Problem], source: Path) -> DataError:
    kind = CorruptImage if all(problem.image for problem in problems) else BrokenAnnotation
    return kind(report(problems, source))


def report(problems: Sequence[Problem], source: Path) -> str:
    """All sorts of problems of `source` with their numbers."""
    noun = "problem" if len(problems) == 1 else "problems"
    absent = sum(problem.absent for problem in problems)
    half = f" (half-downloaded? {absent:,} files are missing)" if absent else ""
    lines = [f"{len(problems)} {noun} in the data of {source}{half}", *_listed(problems)]
    lines.append("Nothing was changed. Repair or replace these, then run the same command again.")
    return "\n".join(lines)


def _listed(problems: Sequence[Problem]) -> Iterator[str]:
    """Problems of one sort together, so that many of one never hide another; each sort capped and counted."""
    sorts: dict[str, list[str]] = {}
    for problem in problems:
        sorts.setdefault(VARIABLE.sub("#", problem.text), []).append(problem.text)
    shown = max(LEAST, SHOWN // len(sorts))
    for texts in sorts.values():
        yield from (f"  - {text}" for text in texts[:shown])
        if len(texts) > shown:
            yield f"  … and {len(texts) - shown:,} more like this"
