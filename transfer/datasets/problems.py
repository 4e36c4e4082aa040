"""What can be wrong with a data set, collected before anything is raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.errors import BrokenAnnotation, CorruptImage, DataError

SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One line of the report; `image` says that the image file itself is damaged."""

    text: str
    image: bool = False


def raise_problems(problems: Sequence[Problem], source: Path) -> None:
    """Raise one error that lists `problems` of the annotations at `source`; return when there are none.

    Raises CorruptImage when only image files are damaged, else BrokenAnnotation.
    """
    if problems:
        raise _error(problems, source)


def _error(problems: Sequence[Problem], source: Path) -> DataError:
    kind = CorruptImage if all(problem.image for problem in problems) else BrokenAnnotation
    noun = "problem" if len(problems) == 1 else "problems"
    lines = [f"{len(problems)} {noun} in the data of {source}", *(f"  - {p.text}" for p in problems[:SHOWN])]
    if len(problems) > SHOWN:
        lines.append(f"  … and {len(problems) - SHOWN} more")
    lines.append("Nothing was changed. Repair or replace these, then run the same command again.")
    return kind("\n".join(lines))
