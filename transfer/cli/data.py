"""`transfer data`: which data sets there are, and whether all of one is well."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.cli.options import add_output, add_work_dir
from transfer.cli.parsing import Parser, add_former, add_verb, add_verbs

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb and its actions."""
    text = "data sets: which there are, how to obtain one, whether all of it is well"
    actions = add_verbs(verbs.add_parser("data", help=text, description=text), "ACTION")
    text = "list the data sets, and which of them are there"
    add_verb(actions, "list", run_list, text, "transfer data list")
    text = "where one is expected, how to obtain it, its terms"
    _add_name(add_verb(actions, "describe", run_describe, text, "transfer data describe voc0712"))
    _add_check(actions)
    _add_submission(actions)


def _add_name(action: Parser) -> None:
    action.add_argument("name", metavar="NAME", help="coco, voc0712, ..., or your own FILE.toml")


def _add_check(actions: Verbs) -> None:
    text = "read every annotation, open every image, list all that is wrong"
    check = add_verb(actions, "check", run_check, text, "transfer data check mini --annotations bbox --json")
    _add_name(check)
    text = "only these annotations: bbox, segm, keypoints, ...; may be repeated"
    annotations = check.add_argument("--annotations", action="append", metavar="TYPE", help=text)
    add_former(check, "--kind", annotations)
    check.add_argument("--json", action="store_true", help="the result as JSON")
    add_work_dir(check)


def _add_submission(actions: Verbs) -> None:
    text = "write the archive that COCO's test-dev server takes"
    example = "transfer data submission predictions.json -o out.zip --metric bbox --name ours"
    submission = add_verb(actions, "submission", run_submission, text, example)
    text = "COCO results of every test image"
    submission.add_argument("predictions", type=Path, metavar="predictions.json", help=text)
    add_output(submission, "FILE.zip", "the archive to write")
    text = "bbox, segm or keypoints"
    add_former(submission, "--kind", submission.add_argument("--metric", required=True, help=text))
    submission.add_argument("--name", default="transfer", help="name of the method, part of the file's name")
    text = "image_info_test-dev2017.json, to check the ids"
    submission.add_argument("--info", type=Path, metavar="FILE", help=text)


def run_list(options: argparse.Namespace) -> None:
    """List the data sets, ours and those of the user."""
    from transfer.datasets.report import list_datasets
    from transfer.files.places import data_root

    print(list_datasets(data_root()))


def run_describe(options: argparse.Namespace) -> None:
    """Say all that the declaration of a data set says."""
    from transfer.datasets.declaration import find_declaration
    from transfer.datasets.report import describe_dataset
    from transfer.files.places import data_root

    print(describe_dataset(find_declaration(options.name, data_root()), data_root()))


def run_check(options: argparse.Namespace) -> None:
    """Check as `transfer eval` does, without a checkpoint; what is wrong is raised as one error."""
    from transfer.datasets.declaration import find_declaration
    from transfer.datasets.report import check_dataset, describe_checked
    from transfer.files.places import data_root
    from transfer.workflows.leakage import leakage_notes

    declared = find_declaration(options.name, data_root())
    annotations = tuple(options.annotations or declared.annotations)
    checked = check_dataset(declared, annotations, data_root(), options.work_dir / "data", leakage_notes)
    print(json.dumps(checked, indent=2) if options.json else describe_checked(declared, checked))


def run_submission(options: argparse.Namespace) -> None:
    """Pack predictions for COCO's server."""
    from transfer.datasets.submission import write_submission

    written = write_submission(options.predictions, options.output, options.metric, options.name, options.info)
    print(f"wrote {written}")
