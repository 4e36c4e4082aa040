"""Options of the verbs that train: a checkpoint, a suite, where to work, and deviations from the suite's protocol."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.cli.options import (
    add_board,
    add_checkpoint,
    add_work_dir,
    assignment,
    choice_of,
    integer,
    integers,
    names,
    positive,
)
from transfer.cli.parsing import Parser, add_former
from transfer.errors import BadOption

if TYPE_CHECKING:
    from transfer.workflows.evaluate import Request

TUNED = {"full": "full", "last-stage": "before-conv5", "none": "frozen"}
"""What is tuned → how protocols say it. Hashes of published records hold the latter."""

SPELLED = {"iterations": "--steps", "trunk": "--tune"}
"""Keys of a protocol whose option has another name."""


def add_request(verb: Parser) -> argparse._ArgumentGroup:
    """Add what to evaluate, and where; return the group of options that make another protocol."""
    add_checkpoint(verb)
    verb.add_argument("suite", metavar="SUITE", help="mini, coco, ... (see: transfer suites), or your FILE.toml")
    verb.add_argument("--tasks", type=names, default=(), metavar="A,B", help="only these tasks of the suite")
    verb.add_argument("--seeds", type=integers, default=(), metavar="0,1", help="only these seeds")
    text = "processes on this machine (default: one per GPU)"
    verb.add_argument("--processes", type=integer, metavar="N", help=text)
    add_work_dir(verb)
    add_board(verb)
    return _add_protocol(verb)


def _add_protocol(verb: Parser) -> argparse._ArgumentGroup:
    other = verb.add_argument_group("another protocol", "these rows get a table of their own")
    text = "training steps; milestones keep their share"
    steps = other.add_argument("--steps", type=positive, metavar="N", help=text)
    text = "images of one step over all processes"
    other.add_argument("--images-per-step", type=positive, metavar="N", help=text)
    text = "longest side of images (detection) or crops"
    other.add_argument("--image-size", type=positive, metavar="PIXELS", help=text)
    text = "what of the backbone is tuned: all of it, its last stage, or nothing"
    tune = other.add_argument("--tune", choices=tuple(TUNED), metavar="|".join(TUNED), help=text)
    text = "its batch normalisations: sync, eval or frozen statistics"
    other.add_argument("--norm", metavar="POLICY", help=text)
    text = "a config of your own (mmdet, mmseg, mmpose) in place of the heads of its type; it is executed"
    other.add_argument("--head", type=Path, metavar="FILE.py", help=text)
    text = "any key of a head's config; may be repeated"
    other.add_argument("--set", type=assignment, action="append", default=[], metavar="KEY=VALUE", help=text)
    add_former(verb, "--iterations", steps)
    add_former(verb, "--trunk", tune, {protocol: option for option, protocol in TUNED.items()})
    return other


def request_of(options: argparse.Namespace, **further: Any) -> Request:
    """Return what to evaluate, and where; `further` deviations are a verb's own. Raises BadOption."""
    from transfer.workflows.evaluate import Request
    from transfer.workflows.plan import Deviations

    deviations = Deviations(options.tasks, options.seeds, overrides(options, **further), options.head)
    return Request(options.checkpoint, options.suite, deviations, choice_of(options), options.work_dir, options.board)


def overrides(options: argparse.Namespace, **further: Any) -> dict[str, Any]:
    """Return the deviations from the suite, as RunSpec stores them. Raises BadOption."""
    named = {
        "iterations": options.steps,
        "images_per_step": options.images_per_step,
        "image_size": options.image_size,
        "trunk": TUNED.get(options.tune),
        "norm": options.norm,
        **further,
    }
    for key, _ in options.set:
        if key in named:
            raise BadOption(f"--set {key}: use {SPELLED.get(key, '--' + key.replace('_', '-'))}.")
    return {key: value for key, value in named.items() if value is not None} | dict(options.set)


def spread(request: Request, options: argparse.Namespace) -> None:
    """Become several processes of the same command where the machine has GPUs, or the user asked for them."""
    from transfer.launch.processes import launch, launched
    from transfer.workflows.evaluate import processes_for

    if not launched() and (processes := processes_for(request, options.processes)) > 1:
        launch(processes, options.given)
