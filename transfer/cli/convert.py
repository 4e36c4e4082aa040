"""`transfer convert`: a checkpoint's backbone as a file of canonical names, or as another library loads it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.cli.options import add_checkpoint, add_output, choice_of
from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs
    from transfer.schemas.checkpoint import Certificate


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "write the backbone under its canonical (timm) names, or for a library"
    examples = (
        "transfer convert ckpt.pth -o backbone.safetensors --json report.json",
        "transfer convert ckpt.pth --to torchvision -o for_torchvision.pth",
    )
    verb = add_verb(verbs, "convert", run, text, *examples)
    add_checkpoint(verb)
    verb.add_argument("--to", metavar="LIBRARY", help="timm, torchvision, openmmlab, detectron2, huggingface")
    add_output(verb, "backbone.safetensors", "the file to write; for some libraries a folder")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the certificate here as well")


def run(options: argparse.Namespace) -> None:
    """Write a converted backbone and its certificate."""
    from transfer.checkpoints.certificate.report import describe
    from transfer.files.atomic import write_json

    certificate, further = _converted(options)
    if options.json is not None:
        write_json(options.json, certificate.to_json())
    print("\n".join([describe(certificate), *further]))


def _converted(options: argparse.Namespace) -> tuple[Certificate, list[str]]:
    """Return the certificate, and for another library's files what its user must know."""
    from transfer.checkpoints.export.exporting import describe_export, export_checkpoint
    from transfer.checkpoints.loading import convert_checkpoint

    if options.to is None:
        return convert_checkpoint(options.checkpoint, options.output, choice_of(options)), []
    certificate, export = export_checkpoint(options.checkpoint, options.output, options.to, choice_of(options))
    return certificate, [describe_export(export)]
