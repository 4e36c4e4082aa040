"""Parsing for all verbs: argparse that names the nearest valid name and knows former spellings."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from transfer.errors import UnknownName

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction["Parser"]

Run = Callable[[argparse.Namespace], int | None]

MISUSED = 2
"""The exit status where the arguments themselves are wrong."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one message with the nearest valid name instead of the whole usage.

    argparse itself suggests names from Python 3.14 on, and then for verbs and choices only.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, but refuse a mistyped option first: argparse would only miss what was to be given with it."""
        given = sys.argv[1:] if args is None else list(args)
        for text in self._options_in(given):
            if not self._knows(text):
                shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
                known = [option for action in shown for option in action.option_strings]
                self.error(str(UnknownName.among("option", text, known)))
        return super().parse_known_args(given, namespace)

    def _options_in(self, given: Iterable[str]) -> Iterator[str]:
        """Yield what argparse will take for options of this parser, without those of a verb that follows."""
        for text in given:
            if text == "--" or (self._subparsers is not None and not text.startswith("-")):
                return
            if text.startswith("-") and text != "-" and " " not in text and not _is_number(text):
                yield text.partition("=")[0]

    def _knows(self, name: str) -> bool:
        if name.startswith("--"):
            return any(option.startswith(name) for option in self._option_string_actions)
        return name[:2] in self._option_string_actions

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = action.option_strings[0] if action.option_strings else str(action.metavar or action.dest).lower()
            raise argparse.ArgumentError(None, str(UnknownName.among(what, str(value), action.choices)))

    def error(self, message: str) -> Any:
        """Print the message and where help is, and exit with status 2."""
        self.exit(MISUSED, f"{self.prog}: {message}\nSee: {self.prog} --help\n")


def add_verbs(parser: Parser, metavar: str) -> Verbs:
    """Give `parser` verbs (or a verb actions); without one of them it prints its help."""

    def print_help(_: argparse.Namespace) -> int:
        parser.print_help()
        return MISUSED

    parser.set_defaults(run=print_help)
    return parser.add_subparsers(metavar=metavar)


def add_verb(verbs: Verbs, name: str, run: Run, text: str, *examples: str) -> Parser:
    """Add a verb that calls `run(options)`; the examples are commands that tests run."""
    verb = verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run)
    return verb


class Former(argparse.Action):
    """A former spelling of the option `current`: does what that one does, and says so. `values` maps former values."""

    def __init__(self, *args: Any, current: argparse.Action, values: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.current = current
        self.values = values

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        """Store the value as `current` stores it."""
        value = self.values[values] if self.values else values
        if os.environ.get("RANK", "0") == "0":  # of the processes of one run, one says it
            former, today = self.option_strings[0], self.current.option_strings[0]
            former, today = (f"{former} {values}", f"{today} {value}") if self.values else (former, today)
            print(f"{parser.prog}: {former} is now {today}; the next release forgets it.", file=sys.stderr)
        self.current.required = False  # argparse would miss it; no parser parses twice
        self.current(parser, namespace, value)


def add_former(
    parser: Parser, spelling: str, current: argparse.Action, values: Mapping[str, str] | None = None
) -> None:
    """Take a former spelling of an option for one more release, hidden from the help; `values` maps former values."""
    parser.add_argument(
        spelling,
        action=Former,
        current=current,
        values=values or {},
        dest=current.dest,
        nargs=current.nargs,
        type=current.type or str,
        choices=tuple(values) if values else current.choices,
        help=argparse.SUPPRESS,
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
