"""`transfer pretrain`: a checkpoint without downloads."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from transfer.cli.options import add_output, integer, number
from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "pre-train without downloads, on images drawn from formulas"
    example = "transfer pretrain rcdb --arch resnet18 -o rcdb.pth --minutes 2"
    verb = add_verb(verbs, "pretrain", run, text, example)
    text = "rcdb: Radial Contour Database (Kataoka et al., CVPR 2022)"
    verb.add_argument("method", choices=["rcdb"], metavar="METHOD", help=text)
    verb.add_argument("--arch", default="resnet18", help="a timm architecture (default: resnet18)")
    add_output(verb, "ckpt.pth", "the checkpoint to write")
    verb.add_argument("--minutes", type=number, default=2.0, metavar="M", help="how long (default: 2)")
    verb.add_argument("--seed", type=integer, default=0, metavar="N", help="of images and weights (default: 0)")


def run(options: argparse.Namespace) -> None:
    """Pre-train on radial contours."""
    from transfer.pretrain.rcdb import pretrain_rcdb

    pretrain_rcdb(options.arch, options.output, minutes=options.minutes, seed=options.seed)
    print(f"wrote {options.output}; evaluate it with: transfer eval {options.output} mini")
