"""`transfer score`: score anyone's predictions. Works without torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.cli.options import integer
from transfer.cli.parsing import add_former, add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "score anyone's predictions: boxes, masks, keypoints, VOC, label maps"
    examples = (
        "transfer score predictions.json truth.json --metric bbox",
        "transfer score predicted masks --metric miou --classes sky,road,tree,car --ignore 0 --json",
    )
    verb = add_verb(verbs, "score", run, text, *examples)
    text = "COCO results, or a folder of label maps"
    verb.add_argument("predictions", type=Path, metavar="PREDICTIONS", help=text)
    verb.add_argument("truth", type=Path, metavar="TRUTH", help="COCO annotations, or a folder of label maps")
    metric = verb.add_argument("--metric", required=True, help="bbox, segm, keypoints, voc or miou")
    add_former(verb, "--kind", metric)
    verb.add_argument("--classes", metavar="N|A,B", help="label maps: number or names of the classes")
    text = "label maps: what does not count (default: 255)"
    verb.add_argument("--ignore", type=integer, metavar="LABEL", help=text)
    verb.add_argument("--json", action="store_true", help="unrounded shares as JSON; -1 is undefined")


def run(options: argparse.Namespace) -> None:
    """Score predictions that need not be ours."""
    from transfer.metrics.scoring import score_anything, table

    scores = score_anything(options.metric, options.predictions, options.truth, options.classes, options.ignore)
    print(json.dumps(scores, indent=2) if options.json else table(scores))
