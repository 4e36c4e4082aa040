"""Format names and numbers as they may stand in a table."""

from __future__ import annotations

import json

from transfer.board.tables import Row
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import Task

UNDEFINED = "n/a"


def row_name(row: Row) -> str:
    """Return checkpoint and short hash of a row; the control is marked."""
    name = f"{code(row.run.checkpoint)} ({row.run.origin})"
    return f"*control* {name}" if row.run.control else name


def code(text: str) -> str:
    """Return `text` as a code span that can stand in a table."""
    return f"`{text_cell(text).replace('`', chr(39))}`"


def training(of: Task | RunSpec) -> str:
    """Head, data set, size and deviating arguments."""
    changes = [code(f"{key}={json.dumps(value)}") for key, value in sorted(of.arguments.items())]
    at = ", ".join([*([f"size {code(of.size)}"] if of.size else []), *changes])
    return f"head {code(of.head)} on {code(of.dataset)}" + (f" ({at})" if at else "")


def text_cell(text: str) -> str:
    """Return `text` as it may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def percent(share: float) -> float:
    """Return a share as it is shown; what is compared is what is shown."""
    return round(100 * share, 1)


def share_text(share: float) -> str:
    """Return a share in percent; -1 is undefined."""
    return UNDEFINED if share == -1 else f"{percent(share):.1f}"
