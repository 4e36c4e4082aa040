"""`transfer curve`: scores over the number of training images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from transfer.cli.options import names
from transfer.cli.parsing import add_verb
from transfer.cli.request import add_request, request_of, spread

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "evaluate on growing parts of the training images, fit a line over their logarithm, and plot it"
    verb = add_verb(verbs, "curve", run, text, "transfer curve ckpt.pth mini --tasks pose --subsets 25%,100%")
    add_request(verb)
    whole = ("1%", "10%", "100%")
    verb.add_argument("--subsets", type=names, default=whole, metavar="1%,10%,100%", help="which parts")


def run(options: argparse.Namespace) -> int:
    """Evaluate on every part, here or in one process per GPU, and plot; status 1 where a task was refused."""
    from transfer.launch.processes import is_first
    from transfer.workflows.curve import requests_for, trace
    from transfer.workflows.evaluate import refused

    request = request_of(options)
    spread(requests_for(request, options.subsets)[0], options)
    text, path = trace(request, options.subsets)
    if is_first():
        print(f"{text}\nwrote {path} and {path.with_suffix('.json')}")
    return int(is_first() and refused(request))
