"""`transfer leaderboard`: the leaderboard's page from its records. Works without torch."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from transfer.cli.options import add_board
from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "rebuild leaderboard/README.md from its records"
    add_board(add_verb(verbs, "leaderboard", run, text, "transfer leaderboard"))


def run(options: argparse.Namespace) -> None:
    """Rebuild the page."""
    from transfer.board.markdown import build_board
    from transfer.schemas.suite import load_suites

    print(f"wrote {build_board(options.board, load_suites())}")
