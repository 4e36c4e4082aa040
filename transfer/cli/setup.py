"""`transfer setup`: install what only some tasks need."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from transfer.cli.parsing import add_verb, add_verbs

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb and its actions."""
    text = "install what only some tasks need; the only verb that fetches anything"
    actions = add_verbs(verbs.add_parser("setup", help=text, description=text), "ACTION")
    text = "mmpose, without those of its dependencies that no longer build"
    add_verb(actions, "pose", run_pose, text, "transfer setup pose")


def run_pose(options: argparse.Namespace) -> None:
    """Install what pose tasks need."""
    from transfer.workflows.setup import install_pose

    print(install_pose())
