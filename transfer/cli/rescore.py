"""`transfer rescore`: finished runs scored again from their saved predictions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.cli.options import add_board
from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "score finished runs again from their saved predictions, after a metric was defined anew"
    verb = add_verb(verbs, "rescore", run, text, "transfer rescore work_dirs")
    verb.add_argument("work_dir", type=Path, metavar="WORK_DIR", help="folder of runs")
    add_board(verb)


def run(options: argparse.Namespace) -> None:
    """Score every run below a folder again, and publish those whose metric is defined anew."""
    from transfer.workflows.rescore import rescore

    print(rescore(options.work_dir, options.board))
