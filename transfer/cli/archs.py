"""`transfer archs`: the architectures that have a name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    add_verb(verbs, "archs", run, "list the architectures that have a name", "transfer archs")


def run(options: argparse.Namespace) -> None:
    """List the named architectures; others are described by their sizes."""
    from transfer.backbones.architectures import ARCHITECTURES

    print("\n".join(ARCHITECTURES))
