"""The command line: every verb is a module that parses, loads and calls. Heavy imports wait until a verb runs."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from transfer import __version__
from transfer.cli import (
    archs,
    convert,
    curve,
    data,
    dedup,
    doctor,
    eval,
    families,
    inspect,
    leaderboard,
    pretrain,
    rescore,
    score,
    setup,
    show,
    suites,
)
from transfer.cli.parsing import Parser, add_verbs
from transfer.errors import FailedElsewhere, TransferError

VERBS = (
    eval,
    curve,
    inspect,
    convert,
    pretrain,
    show,
    data,
    score,
    rescore,
    dedup,
    leaderboard,
    suites,
    families,
    archs,
    setup,
    doctor,
)
"""Every verb's module, in the order of `transfer --help`; a new one is its module, and a line here."""

EXAMPLES = """\
examples:
  transfer eval ckpt.pth mini                 fine-tune and score on the embedded data, minutes on a CPU
  transfer eval ckpt.pth coco                 the same on COCO below $TRANSFER_DATA, on every visible GPU
  transfer eval random:resnet50 coco          the randomly initialised control
  transfer inspect ckpt.pth                   what is in the file, and what would be converted
  transfer score found.json truth.json --metric bbox   score anyone's predictions
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status; errors that a user can meet end with a message.

    Raises SystemExit with status 2 where the arguments themselves are wrong, as argparse does.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given, argparse.Namespace(given=given))
    try:
        status = int(options.run(options) or 0)
        sys.stdout.flush()
    except (TransferError, OSError, ImportError, KeyboardInterrupt) as error:
        return _report(error)
    return status


def parser() -> Parser:
    """Build the parser of all verbs and their options."""
    top = Parser(
        prog="transfer",
        description="Does this pretrained checkpoint transfer? A checkpoint goes in, a leaderboard row comes out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"transfer {__version__}")
    verbs = add_verbs(top, "VERB")
    for module in VERBS:
        module.add(verbs)
    return top


def _report(error: TransferError | OSError | ImportError | KeyboardInterrupt) -> int:
    """Say what went wrong, and return the exit status."""
    match error:
        case FailedElsewhere():
            return 1
        case KeyboardInterrupt():
            print("transfer: interrupted; the same command goes on where it stopped.", file=sys.stderr)
            return 130
        case BrokenPipeError():
            # Who read the output has left, as `| head` does. Python would fail once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        case ImportError():
            if (error.name or "").partition(".")[0] == "transfer":
                raise error
            print(f"transfer: {error}. `transfer doctor` says what is missing and how to get it.", file=sys.stderr)
        case OSError():
            print(f"transfer: {_system_message(error)}", file=sys.stderr)
        case TransferError():
            print(f"transfer: {type(error).__name__}: {error}", file=sys.stderr)
    return 1


def _system_message(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({error.filename or 'while writing'}). Nothing half-written was kept: "
            "free some space and run the same command again; it goes on where it stopped."
        )
    text = error.strerror or str(error) or type(error).__name__
    return text if error.filename is None else f"{text}: {error.filename}"
