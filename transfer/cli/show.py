"""`transfer show`: a finished run as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.cli.options import add_output, integer
from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "draw truth beside predictions of a run's best, median and worst test images"
    verb = add_verb(verbs, "show", run, text, "transfer show work_dirs/RUN -o sheet.png --images 2")
    verb.add_argument("folder", type=Path, metavar="RUN", help="a finished run's folder, below work_dirs")
    add_output(verb, "FILE.png", "default: show.png in the run's folder", required=False)
    verb.add_argument("--images", type=integer, default=3, metavar="N", help="so many of each (default: 3)")


def run(options: argparse.Namespace) -> None:
    """Draw a contact sheet and the curves of a run."""
    from transfer.workflows.show import show

    print(show(options.folder, options.output or options.folder / "show.png", options.images))
