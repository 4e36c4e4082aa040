"""`transfer dedup`: test images that a checkpoint may have seen."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.cli.options import add_output, add_work_dir, integer, number
from transfer.cli.parsing import Parser, add_former, add_verb, add_verbs

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb and its actions."""
    text = "near-duplicates of test images in a pre-training corpus, or in the training images beside them"
    actions = add_verbs(verbs.add_parser("dedup", help=text, description=text), "ACTION")
    _add_index(actions)
    _add_check(actions)
    _add_self(actions)
    _add_show(actions)


def _add_index(actions: Verbs) -> None:
    text = "hash a corpus; an interrupted call goes on where it stopped"
    index = add_verb(actions, "index", run_index, text, "transfer dedup index images -o corpus.index")
    text = "folders, .tar, .parquet, .txt lists"
    index.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help=text)
    add_output(index, "corpus.index", "the folder to write")
    text = "keep local features, too: finds crops, borders and rotations, at several times the cost"
    add_former(index, "--parts", index.add_argument("--local-features", action="store_true", help=text))
    _add_workers(index, "on this machine (default: one a core)", os.cpu_count() or 1)


def _add_check(actions: Verbs) -> None:
    text = "look for every test image in an index"
    check = add_verb(actions, "check", run_check, text, "transfer dedup check corpus.index mini -o overlap.json")
    check.add_argument("index", type=Path, metavar="corpus.index", help="what `dedup index` wrote")
    check.add_argument("target", metavar="SUITE|IMAGES", help="a suite, or images as `dedup index` takes them")
    text = "least, of two descriptors (default: 0.75)"
    check.add_argument("--cosine", type=number, default=0.75, metavar="0.75", help=text)
    text = (
        "bits of 256 up to which pairs are compared by pixels (default: 64); 88 finds more where the images are at hand"
    )
    check.add_argument("--bits", type=integer, default=64, metavar="64", help=text)
    _add_workers(check, "on this machine (default: 1)", 1)
    _add_overlap(check)


def _add_self(actions: Verbs) -> None:
    text = "look for a suite's test images in its own training images"
    itself = add_verb(actions, "self", run_self, text, "transfer dedup self mini -o leak.json")
    itself.add_argument("suite", metavar="SUITE", help="mini, coco, ... (see: transfer suites)")
    _add_overlap(itself)


def _add_show(actions: Verbs) -> None:
    text = "the pairs side by side, to judge by eye"
    show = add_verb(actions, "show", run_show, text, "transfer dedup show overlap.json -o overlap.html")
    show.add_argument("overlap", type=Path, metavar="overlap.json", help="what `dedup check` or `dedup self` wrote")
    add_output(show, "FILE.html|png", "default: overlap.html beside it", required=False)
    show.add_argument("--pairs", type=integer, default=200, metavar="N", help="at most so many (default: 200)")


def _add_workers(action: Parser, text: str, processes: int) -> None:
    named = "SSCD-style TorchScript, or a checkpoint"
    action.add_argument("--descriptor", type=Path, metavar="FILE", help=named)
    action.add_argument("--processes", type=integer, default=processes, metavar="N", help=text)
    action.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster instead; `local` starts one here")


def _add_overlap(action: Parser) -> None:
    add_output(action, "overlap.json", "the list of pairs to write")
    add_work_dir(action)


def run_index(options: argparse.Namespace) -> None:
    """Hash a corpus."""
    from transfer.workflows.dedup import Workers, index_images

    workers = Workers(options.processes, options.ray)
    local = options.local_features
    index = index_images(options.images, options.output, workers, options.descriptor, parts=local)
    listed = f"; {index.skipped:,} skipped, listed in {options.output}/skipped.jsonl" if index.skipped else ""
    print(f"wrote {options.output}: {index.images:,} images, {index.sha256[:12]}{listed}")


def run_check(options: argparse.Namespace) -> None:
    """Look for test images in an index."""
    from transfer.files.places import data_root
    from transfer.workflows.dedup import Check, Workers, check_index, summary

    how = options.descriptor, options.cosine, options.bits
    asked = Check(options.index, options.target, data_root(), options.work_dir, *how)
    overlap = check_index(asked, options.output, Workers(options.processes, options.ray))
    print(f"{summary(overlap)}\nwrote {options.output}")


def run_self(options: argparse.Namespace) -> None:
    """Look for test images among the training images beside them."""
    from transfer.files.places import data_root
    from transfer.workflows.dedup import summary
    from transfer.workflows.leakage import check_suite

    overlap = check_suite(options.suite, options.output, data_root(), options.work_dir)
    print(f"{summary(overlap)}\nwrote {options.output}")


def run_show(options: argparse.Namespace) -> None:
    """Draw the pairs of an overlap."""
    from transfer.workflows.show_overlap import show_overlap

    print(show_overlap(options.overlap, options.output or options.overlap.with_suffix(".html"), options.pairs))
