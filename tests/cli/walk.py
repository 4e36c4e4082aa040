"""All verbs and actions, as the parser has them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from transfer import cli
from transfer.cli.parsing import Parser


@dataclass(frozen=True)
class Command:
    """A verb, or an action of one; `text` is what the list of its siblings says of it."""

    words: tuple[str, ...]
    parser: Parser
    text: str

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def actions(self) -> list[Command]:
        return list(_below(self.parser, self.words))

    @property
    def examples(self) -> list[str]:
        lines = (self.parser.epilog or "").splitlines()
        return [line.strip() for line in lines if line.startswith("  transfer ")]


def verbs() -> list[Command]:
    return list(_below(cli.parser(), ()))


def commands() -> list[Command]:
    """What can be run: verbs without actions, and actions."""
    return [command for verb in verbs() for command in verb.actions or [verb]]


def _below(parser: Parser, words: tuple[str, ...]) -> Iterator[Command]:
    for group in parser._actions:
        if isinstance(group, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in group._choices_actions}
            for name, below in group.choices.items():
                yield Command((*words, name), below, texts.get(name, ""))
