"""`transfer suites`: what a checkpoint can be evaluated on."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    add_verb(verbs, "suites", run, "list the suites, their heads and data", "transfer suites")


def run(options: argparse.Namespace) -> None:
    """List the suites."""
    from transfer.files.places import load_suites

    for suite in load_suites():
        print(f"{suite.name}: {' '.join(suite.description.split())}")
        for task in suite.tasks:
            bound = f"{task.head:20} {task.dataset:10} {task.size:5}"
            print(f"    {task.name:14} {bound} {', '.join(task.scores)}; seeds {suite.seeds}")
