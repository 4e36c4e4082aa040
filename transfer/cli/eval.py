"""`transfer eval`: a checkpoint and a suite go in, leaderboard rows come out."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.cli.options import count
from transfer.cli.parsing import add_verb
from transfer.cli.request import add_request, request_of, spread

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "fine-tune and score a checkpoint on a suite, and rebuild the leaderboard"
    examples = (
        "transfer eval ckpt.pth mini",
        "transfer eval random:resnet18 mini --tasks pose --tune last-stage --norm eval",
    )
    verb = add_verb(verbs, "eval", run, text, *examples)
    protocol = add_request(verb)
    text = "a share of the training images, or images per class"
    protocol.add_argument("--subset", metavar="10%|5pc", help=text)
    verb.add_argument("--snapshots", type=count, default=0, metavar="N", help="score N models on the way, too")
    text = "rank by the test images that this overlap does not know from pre-training; may be repeated"
    verb.add_argument("--exclude", type=Path, action="append", default=[], metavar="overlap.json", help=text)


def run(options: argparse.Namespace) -> int:
    """Evaluate here, or in one process per GPU; status 1 where a task was refused."""
    from transfer.board.terminal import as_text
    from transfer.launch.processes import is_first
    from transfer.workflows.evaluate import evaluate, refused

    request = request_of(options, subset=options.subset)
    request = replace(request, snapshots=options.snapshots, exclude=tuple(options.exclude))
    spread(request, options)
    evaluate(request)
    if is_first():
        print(as_text((options.board / "README.md").read_text(encoding="utf-8")))
    return int(is_first() and refused(request))
