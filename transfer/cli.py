"""The command line: every verb parses, loads and calls. Heavy imports wait until a verb needs them."""

from __future__ import annotations

import argparse
import ast
import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer import __version__
from transfer.errors import BadOption, FailedElsewhere, TransferError

EXAMPLES = """\
examples:
  transfer eval ckpt.pth mini                 fine-tune and score on the embedded data, minutes on a CPU
  transfer eval ckpt.pth coco                 the same on COCO below $TRANSFER_DATA, on every visible GPU
  transfer eval random:resnet50 coco          the randomly initialised control
  transfer inspect ckpt.pth                   what is in the file, and what would be converted
  transfer score found.json truth.json --kind bbox   score anyone's predictions
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; errors that a user can meet end with a message and status 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    try:
        return int(options.verb(options, given) or 0)
    except FailedElsewhere:
        return 1
    except TransferError as error:
        print(f"transfer: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            print(
                f"transfer: the disk is full ({error.filename or 'while writing'}). Nothing half-written was kept: "
                "free some space and run the same command again; it goes on where it stopped.",
                file=sys.stderr,
            )
        elif error.filename is not None:
            print(f"transfer: {error.strerror}: {error.filename}", file=sys.stderr)
        else:
            raise
        return 1
    except KeyboardInterrupt:
        print("transfer: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    top = argparse.ArgumentParser(
        prog="transfer",
        description="Does this pretrained checkpoint transfer? A checkpoint goes in, a leaderboard row comes out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"transfer {__version__}")
    verbs = top.add_subparsers(required=True, metavar="VERB")
    _add_eval(verbs)
    _add_curve(verbs)
    _add_inspect(verbs)
    _add_convert(verbs)
    _add_pretrain(verbs)
    _add_show(verbs)
    _add_data(verbs)
    _add_score(verbs)
    _add_dedup(verbs)
    leaderboard = _verb(verbs, "leaderboard", run_leaderboard, "rebuild leaderboard/README.md from its records")
    leaderboard.add_argument("--board", type=Path, default=Path("leaderboard"), metavar="DIR")
    _verb(verbs, "suites", run_suites, "list the suites, their tasks and recipes")
    _verb(verbs, "families", run_families, "list the checkpoint families that are recognised")
    _verb(verbs, "archs", run_archs, "list the architectures that have a name")
    _verb(verbs, "doctor", run_doctor, "is this machine ready: packages, operators, data, GPUs")
    return top


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(verb=run)
    return verb


def _add_checkpoint(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("checkpoint", metavar="CKPT", help="checkpoint file")
    verb.add_argument("--family", help="who wrote the file, where its names do not say (see: transfer families)")
    verb.add_argument("--which", help="branch of the file: teacher, student, ema, query, ...")
    verb.add_argument("--arch", help="which architecture it must be, where shapes do not tell (see: transfer archs)")
    verb.add_argument("--rules", type=Path, metavar="FILE.toml", help="your own renaming rules instead of a family's")


def _add_eval(verbs: Any) -> None:
    verb = _verb(verbs, "eval", run_eval, "fine-tune and score a checkpoint on a suite, and rebuild the leaderboard")
    _add_request(verb)
    verb.add_argument("--snapshots", type=_count, default=0, metavar="N", help="score N models on the way, too")
    text = "rank by the test images that this overlap does not know from pre-training; may be repeated"
    verb.add_argument("--exclude", type=Path, action="append", default=[], metavar="overlap.json", help=text)
    _add_protocol(verb).add_argument(
        "--subset", metavar="10%%|5pc", help="a share of the training images, or images per class"
    )


def _add_curve(verbs: Any) -> None:
    text = "evaluate on growing parts of the training images, fit a line over their logarithm, and plot it"
    verb = _verb(verbs, "curve", run_curve, text)
    _add_request(verb)
    verb.add_argument(
        "--subsets", type=_names, default=("1%", "10%", "100%"), metavar="1%%,10%%,100%%", help="which parts"
    )
    _add_protocol(verb)


def _add_request(verb: argparse.ArgumentParser) -> None:
    _add_checkpoint(verb)
    verb.add_argument("suite", metavar="SUITE", help="mini, coco, ... (see: transfer suites)")
    verb.add_argument("--tasks", type=_names, default=(), metavar="A,B", help="only these tasks of the suite")
    verb.add_argument("--seeds", type=_integers, default=(), metavar="0,1", help="only these seeds")
    verb.add_argument("--processes", type=int, metavar="N", help="processes on this machine (default: one per GPU)")
    verb.add_argument("--work-dir", type=Path, default=Path("work_dirs"), metavar="DIR")
    verb.add_argument("--board", type=Path, default=Path("leaderboard"), metavar="DIR")


def _add_protocol(verb: argparse.ArgumentParser) -> Any:
    other = verb.add_argument_group("another protocol", "these rows get a table of their own")
    other.add_argument("--iterations", type=int, metavar="N", help="training steps; milestones keep their share")
    other.add_argument("--images-per-step", type=int, metavar="N", help="images of one step over all processes")
    other.add_argument("--image-size", type=int, metavar="PIXELS", help="longest side of images (detection) or crops")
    other.add_argument("--trunk", metavar="PART", help="what of it is tuned: full, before-conv5 (last stage), frozen")
    other.add_argument("--norm", metavar="POLICY", help="its batch normalisations: sync, eval or frozen statistics")
    other.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the recipe")
    return other


def _add_inspect(verbs: Any) -> None:
    verb = _verb(verbs, "inspect", run_inspect, "family, architecture, input contract and coverage of a checkpoint")
    _add_checkpoint(verb)
    verb.add_argument("--json", action="store_true", help="the certificate as JSON")


def _add_convert(verbs: Any) -> None:
    verb = _verb(verbs, "convert", run_convert, "write the backbone under its canonical (timm) names, or for a library")
    _add_checkpoint(verb)
    verb.add_argument("--to", metavar="LIBRARY", help="timm, torchvision, openmmlab, detectron2, huggingface")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="backbone.safetensors")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the certificate here as well")


def _add_pretrain(verbs: Any) -> None:
    verb = _verb(verbs, "pretrain", run_pretrain, "pre-train without downloads, on images drawn from formulas")
    verb.add_argument("method", choices=["rcdb"], help="rcdb: Radial Contour Database (Kataoka et al., CVPR 2022)")
    verb.add_argument("--arch", default="resnet18", help="a timm architecture")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="ckpt.pth")
    verb.add_argument("--minutes", type=float, default=2.0)
    verb.add_argument("--seed", type=int, default=0)


def _add_show(verbs: Any) -> None:
    verb = _verb(verbs, "show", run_show, "draw truth beside predictions of a run's best, median and worst test images")
    verb.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder, below work_dirs")
    verb.add_argument("-o", "--output", type=Path, metavar="FILE.png", help="default: show.png in the run's folder")
    verb.add_argument("--images", type=int, default=3, metavar="N", help="so many of each")


def _add_data(verbs: Any) -> None:
    text = "data sets: which there are, how to obtain one, whether all of it is well"
    actions = verbs.add_parser("data", help=text, description=text).add_subparsers(required=True, metavar="ACTION")
    _verb(actions, "list", run_data_list, "list the data sets, and which of them are there")
    describe = _verb(actions, "describe", run_data_describe, "where one is expected, how to obtain it, its terms")
    check = _verb(actions, "check", run_data_check, "read every annotation, open every image, list all that is wrong")
    for action in (describe, check):
        action.add_argument("name", metavar="NAME", help="coco, voc0712, ..., or your own FILE.toml")
    check.add_argument("--kind", action="append", help="only this kind of annotations; may be repeated")
    check.add_argument("--json", action="store_true", help="the result as JSON")
    check.add_argument("--work-dir", type=Path, default=Path("work_dirs"), metavar="DIR")
    submit = _verb(actions, "submission", run_data_submission, "write the archive that COCO's test-dev server takes")
    submit.add_argument("predictions", type=Path, metavar="predictions.json")
    submit.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.zip")
    submit.add_argument("--kind", required=True, help="bbox, segm or keypoints")
    submit.add_argument("--name", default="transfer", help="name of the method, part of the file's name")
    submit.add_argument("--info", type=Path, metavar="FILE", help="image_info_test-dev2017.json, to check the ids")


def _add_score(verbs: Any) -> None:
    verb = _verb(verbs, "score", run_score, "score anyone's predictions: boxes, masks, keypoints, VOC, label maps")
    verb.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="COCO results, or a folder of label maps")
    verb.add_argument("truth", type=Path, metavar="TRUTH", help="COCO annotations, or a folder of label maps")
    verb.add_argument("--kind", required=True, help="bbox, segm, keypoints, voc or miou")
    verb.add_argument("--classes", metavar="N|A,B", help="label maps: number or names of the classes")
    verb.add_argument("--ignore", type=int, metavar="LABEL", help="label maps: what does not count (default: 255)")
    verb.add_argument("--json", action="store_true", help="unrounded shares as JSON; -1 is undefined")


def _add_dedup(verbs: Any) -> None:
    text = "near-duplicates of test images in a pre-training corpus, or in the training images beside them"
    actions = verbs.add_parser("dedup", help=text, description=text).add_subparsers(required=True, metavar="ACTION")
    index = _verb(actions, "index", run_dedup_index, "hash a corpus; an interrupted call goes on where it stopped")
    index.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help="folders, .tar, .parquet, .txt lists")
    index.add_argument("-o", "--output", type=Path, required=True, metavar="corpus.index")
    text = "keep local features, too: finds crops, borders and rotations, at several times the cost"
    index.add_argument("--parts", action="store_true", help=text)
    check = _verb(actions, "check", run_dedup_check, "look for every test image in an index")
    check.add_argument("index", type=Path, metavar="corpus.index")
    check.add_argument("target", metavar="SUITE|IMAGES", help="a suite, or images as `dedup index` takes them")
    check.add_argument("--cosine", type=float, default=0.75, metavar="0.75", help="least, of two descriptors")
    text = "bits of 256 up to which pairs are compared by pixels; 88 finds more where the images are at hand"
    check.add_argument("--bits", type=int, default=64, metavar="64", help=text)
    for verb in (index, check):
        verb.add_argument("--descriptor", type=Path, metavar="FILE", help="SSCD-style TorchScript, or a checkpoint")
        verb.add_argument("--processes", type=int, default=1, metavar="N", help="on this machine (index: one a core)")
        verb.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster instead; `local` starts one here")
    index.set_defaults(processes=os.cpu_count() or 1)
    itself = _verb(actions, "self", run_dedup_self, "look for a suite's test images in its own training images")
    itself.add_argument("suite", metavar="SUITE")
    for verb in (check, itself):
        verb.add_argument("-o", "--output", type=Path, required=True, metavar="overlap.json")
        verb.add_argument("--work-dir", type=Path, default=Path("work_dirs"), metavar="DIR")
    show = _verb(actions, "show", run_dedup_show, "the pairs side by side, to judge by eye")
    show.add_argument("overlap", type=Path, metavar="overlap.json")
    show.add_argument("-o", "--output", type=Path, metavar="FILE.html|png", help="default: overlap.html beside it")
    show.add_argument("--pairs", type=int, default=200, metavar="N", help="at most so many")


def run_eval(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Evaluate here, or launch one process per GPU that does."""
    from transfer.board.terminal import as_text
    from transfer.launch.processes import is_first, launch, launched
    from transfer.workflows.evaluate import evaluate, processes_for

    request = request_of(options)
    if not launched() and (processes := processes_for(request, options.processes)) > 1:
        launch(processes, given)
    evaluate(request)
    if is_first():
        print(as_text((options.board / "README.md").read_text(encoding="utf-8")))
    return 0


def run_curve(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Evaluate on every part, here or in one process per GPU, and plot."""
    from transfer.launch.processes import is_first, launch, launched
    from transfer.workflows.curve import requests_for, trace
    from transfer.workflows.evaluate import processes_for

    request = request_of(options)
    first = requests_for(request, options.subsets)[0]
    if not launched() and (processes := processes_for(first, options.processes)) > 1:
        launch(processes, given)
    text, path = trace(request, options.subsets)
    if is_first():
        print(f"{text}\nwrote {path} and {path.with_suffix('.json')}")


def request_of(options: argparse.Namespace) -> Any:
    """What to evaluate, and where."""
    from transfer.workflows.evaluate import Request
    from transfer.workflows.plan import Deviations

    deviations = Deviations(options.tasks, options.seeds, overrides(options))
    where = (options.work_dir, options.board)
    return Request(
        options.checkpoint,
        options.suite,
        deviations,
        choice_of(options),
        *where,
        getattr(options, "snapshots", 0),
        tuple(getattr(options, "exclude", ())),
    )


def choice_of(options: argparse.Namespace) -> Any:
    """What the user says about the file."""
    from transfer.checkpoints.identification.filling import Choice

    return Choice(options.family, options.which, options.arch, options.rules)


def overrides(options: argparse.Namespace) -> dict[str, Any]:
    """Deviations from the recipe, as RunSpec stores them."""
    options_of_their_own = ("iterations", "images_per_step", "image_size", "subset", "trunk", "norm")
    taken = set(options_of_their_own) & {text.partition("=")[0] for text in options.set}
    if taken:
        raise BadOption(f"--set {taken.pop()}: use the option of that name.")
    named = {key: getattr(options, key, None) for key in options_of_their_own}
    return {key: value for key, value in named.items() if value is not None} | dict(map(_assignment, options.set))


def run_inspect(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Print a certificate without converting."""
    from transfer.checkpoints.certificate.report import describe
    from transfer.checkpoints.loading import inspect_checkpoint

    certificate = inspect_checkpoint(options.checkpoint, choice_of(options))
    print(json.dumps(certificate.to_json(), indent=2) if options.json else describe(certificate))


def run_convert(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Write a converted backbone and its certificate."""
    from transfer.checkpoints.certificate.report import describe
    from transfer.files.atomic import write_json

    certificate, further = _converted(options)
    if options.json is not None:
        write_json(options.json, certificate.to_json())
    print("\n".join([describe(certificate), *further]))


def _converted(options: argparse.Namespace) -> tuple[Any, list[str]]:
    """The certificate, and for another library's files what its user must know."""
    from transfer.checkpoints.export.exporting import describe_export, export_checkpoint
    from transfer.checkpoints.loading import convert_checkpoint

    if options.to is None:
        return convert_checkpoint(options.checkpoint, options.output, choice_of(options)), []
    certificate, export = export_checkpoint(options.checkpoint, options.output, options.to, choice_of(options))
    return certificate, [describe_export(export)]


def run_pretrain(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Pre-train on radial contours."""
    from transfer.pretrain.rcdb import pretrain_rcdb

    pretrain_rcdb(options.arch, options.output, minutes=options.minutes, seed=options.seed)
    print(f"wrote {options.output}; evaluate it with: transfer eval {options.output} mini")


def run_show(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Draw a contact sheet and the curves of a run."""
    from transfer.workflows.show import show

    print(show(options.run, options.output or options.run / "show.png", options.images))


def run_data_list(options: argparse.Namespace, given: Sequence[str]) -> None:
    """List the data sets, ours and those of the user."""
    from transfer.datasets.report import list_datasets
    from transfer.files.places import data_root

    print(list_datasets(data_root()))


def run_data_describe(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Say all that the declaration of a data set says."""
    from transfer.datasets.declaration import find_declaration
    from transfer.datasets.report import describe_dataset
    from transfer.files.places import data_root

    print(describe_dataset(find_declaration(options.name, data_root()), data_root()))


def run_data_check(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Preflight without a checkpoint; what is wrong is raised as one error."""
    from transfer.datasets.declaration import find_declaration
    from transfer.datasets.report import check_dataset, describe_checked
    from transfer.files.places import data_root
    from transfer.workflows.leakage import leakage_notes

    declared = find_declaration(options.name, data_root())
    kinds = tuple(options.kind or declared.kinds)
    checked = check_dataset(declared, kinds, data_root(), options.work_dir / "data", leakage_notes)
    print(json.dumps(checked, indent=2) if options.json else describe_checked(declared, checked))


def run_data_submission(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Pack predictions for COCO's server."""
    from transfer.datasets.submission import write_submission

    print(f"wrote {write_submission(options.predictions, options.output, options.kind, options.name, options.info)}")


def run_score(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Score predictions that need not be ours. Works without torch."""
    from transfer.metrics.scoring import score_anything, table

    scores = score_anything(options.kind, options.predictions, options.truth, options.classes, options.ignore)
    print(json.dumps(scores, indent=2) if options.json else table(scores))


def run_leaderboard(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Rebuild the leaderboard's page. Works without torch."""
    from transfer.board.markdown import build_board
    from transfer.files.places import load_suites

    print(f"wrote {build_board(options.board, load_suites())}")


def run_suites(options: argparse.Namespace, given: Sequence[str]) -> None:
    """List the suites."""
    from transfer.files.places import load_suites

    for suite in load_suites():
        print(f"{suite.name}: {' '.join(suite.description.split())}")
        for task in suite.tasks:
            print(f"    {task.name:14} {task.recipe:24} {', '.join(task.scores)}; seeds {suite.seeds}")


def run_families(options: argparse.Namespace, given: Sequence[str]) -> None:
    """List the families."""
    from transfer.checkpoints.families import FAMILIES

    for family in FAMILIES:
        aliases = f" (also {', '.join(family.aliases)})" if family.aliases else ""
        print(f"{family.name}{aliases}: {family.description}")


def run_archs(options: argparse.Namespace, given: Sequence[str]) -> None:
    """List the named architectures; others are described by their sizes."""
    from transfer.backbones.architectures import ARCHITECTURES

    print("\n".join(ARCHITECTURES))


def run_doctor(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Check this machine; status 1 when something needed is missing."""
    from transfer.workflows.doctor import examine

    findings = examine()
    for finding in findings:
        state = "ok" if finding.ok else "missing" if finding.needed else "none"
        print(f"{state:8} {finding.subject}: {finding.text}")
    return int(any(finding.needed and not finding.ok for finding in findings))


def run_dedup_index(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Hash a corpus."""
    from transfer.workflows.dedup import Workers, index_images

    workers = Workers(options.processes, options.ray)
    index = index_images(options.images, options.output, workers, options.descriptor, parts=options.parts)
    listed = f"; {index.skipped:,} skipped, listed in {options.output}/skipped.jsonl" if index.skipped else ""
    print(f"wrote {options.output}: {index.images:,} images, {index.sha256[:12]}{listed}")


def run_dedup_check(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Look for test images in an index."""
    from transfer.files.places import data_root
    from transfer.workflows.dedup import Check, Workers, check_index, summary

    how = options.descriptor, options.cosine, options.bits
    asked = Check(options.index, options.target, data_root(), options.work_dir, *how)
    overlap = check_index(asked, options.output, Workers(options.processes, options.ray))
    print(f"{summary(overlap)}\nwrote {options.output}")


def run_dedup_self(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Look for test images among the training images beside them."""
    from transfer.files.places import data_root
    from transfer.workflows.dedup import summary
    from transfer.workflows.leakage import check_suite

    overlap = check_suite(options.suite, options.output, data_root(), options.work_dir)
    print(f"{summary(overlap)}\nwrote {options.output}")


def run_dedup_show(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Draw the pairs of an overlap."""
    from transfer.workflows.show_overlap import show_overlap

    print(show_overlap(options.overlap, options.output or options.overlap.with_suffix(".html"), options.pairs))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _names(text))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, not {text!r}")
    return int(text)


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise BadOption(f"--set takes KEY=VALUE, for example optim_wrapper.optimizer.lr=0.01; got {text!r}.")
    try:
        return key, json.loads(json.dumps(ast.literal_eval(value)))
    except (ValueError, SyntaxError):
        return key, value
    except TypeError as error:
        raise BadOption(f"--set {key}: numbers, strings, booleans, lists and dicts only; {error}.") from error
