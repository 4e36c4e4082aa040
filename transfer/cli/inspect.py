"""`transfer inspect`: what is in a checkpoint, and what would be converted."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from transfer.cli.options import add_checkpoint, choice_of
from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "family, architecture, input contract and coverage of a checkpoint"
    examples = ("transfer inspect ckpt.pth", "transfer inspect ckpt.pth --family torchvision --json")
    verb = add_verb(verbs, "inspect", run, text, *examples)
    add_checkpoint(verb)
    verb.add_argument("--json", action="store_true", help="the certificate as JSON")


def run(options: argparse.Namespace) -> None:
    """Print a certificate without converting."""
    from transfer.checkpoints.certificate.report import describe
    from transfer.checkpoints.loading import inspect_checkpoint

    certificate = inspect_checkpoint(options.checkpoint, choice_of(options))
    print(json.dumps(certificate.to_json(), indent=2) if options.json else describe(certificate))
