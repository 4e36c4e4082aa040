"""Options that several verbs have, and the types of their values."""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfer.checkpoints.identification.filling import Choice
    from transfer.cli.parsing import Parser


def add_checkpoint(verb: Parser) -> None:
    """Add a checkpoint, and what its user may say about it."""
    verb.add_argument("checkpoint", metavar="CKPT", help="checkpoint file")
    verb.add_argument("--family", help="who wrote the file, where its names do not say (see: transfer families)")
    verb.add_argument("--which", metavar="WEIGHTS", help="which of the file's weights: teacher, student, ema, ...")
    verb.add_argument("--arch", help="which architecture it must be, where shapes do not tell (see: transfer archs)")
    verb.add_argument("--rules", type=Path, metavar="FILE.toml", help="your own renaming rules instead of a family's")


def choice_of(options: argparse.Namespace) -> Choice:
    """Return what the user says about the file."""
    from transfer.checkpoints.identification.filling import Choice

    return Choice(options.family, options.which, options.arch, options.rules)


def add_work_dir(verb: Parser) -> None:
    """Add the folder of runs."""
    text = "where runs and prepared data are kept (default: work_dirs)"
    verb.add_argument("--work-dir", type=Path, default=Path("work_dirs"), metavar="DIR", help=text)


def add_board(verb: Parser) -> None:
    """Add the folder of the leaderboard."""
    text = "the leaderboard's folder (default: leaderboard)"
    verb.add_argument("--board", type=Path, default=Path("leaderboard"), metavar="DIR", help=text)


def add_output(verb: Parser, metavar: str, text: str, *, required: bool = True) -> None:
    """Add `-o`: the path that is written."""
    verb.add_argument("-o", "--output", type=Path, required=required, metavar=metavar, help=text)


def names(text: str) -> tuple[str, ...]:
    """Read `a,b`."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def integers(text: str) -> tuple[int, ...]:
    """Read `0,1`."""
    try:
        return tuple(int(part) for part in names(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers, as 0,1; got {text!r}.") from None


def integer(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}.") from None


def count(text: str) -> int:
    """Read a whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got {text!r}.")
    return int(text)


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}.")
    return int(text)


def number(text: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}.") from None


def assignment(text: str) -> tuple[str, Any]:
    """Read `KEY=VALUE`; the value is what JSON can hold, or a string."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        wanted = "expected KEY=VALUE, for example optim_wrapper.optimizer.lr=0.01"
        raise argparse.ArgumentTypeError(f"{wanted}; got {text!r}.")
    try:
        return key, json.loads(json.dumps(ast.literal_eval(value)))
    except (ValueError, SyntaxError):
        return key, value
    except TypeError as error:
        refused = f"{key}: expected numbers, strings, booleans, lists and dicts only; {error}."
        raise argparse.ArgumentTypeError(refused) from error
