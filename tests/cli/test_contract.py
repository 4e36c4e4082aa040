"""What holds for every verb: they are read from the parser, and compared with the modules and functions that exist."""

from __future__ import annotations

import argparse
import pkgutil
from importlib import import_module
from types import ModuleType

import pytest

from tests.cli.walk import Command, commands, verbs
from transfer import cli
from transfer.cli.parsing import Former

MODULES = [import_module(f"transfer.cli.{found.name}") for found in pkgutil.iter_modules(cli.__path__)]
OF_VERBS = [module for module in MODULES if hasattr(module, "add")]

each_verb = pytest.mark.parametrize("verb", verbs(), ids=str)
each_command = pytest.mark.parametrize("command", commands(), ids=str)


def name_of(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def test_every_module_of_a_verb_is_listed_and_adds_the_verb_of_its_name() -> None:
    assert {name_of(module) for module in OF_VERBS} == {str(verb) for verb in verbs()}
    assert len(OF_VERBS) == len(cli.VERBS) == len(set(cli.VERBS))


def test_every_function_that_runs_has_a_parser_of_its_own() -> None:
    functions = [getattr(module, name) for module in OF_VERBS for name in vars(module) if name.startswith("run")]
    reached = [command.parser.get_default("run") for command in commands()]
    assert sorted(map(repr, functions)) == sorted(map(repr, reached))


def joined(text: str) -> str:
    return " ".join(text.split())


@each_verb
def test_help_says_what_a_verb_does(verb: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.text and f"{verb} {verb.text}" in joined(cli.parser().format_help())
    with pytest.raises(SystemExit) as ended:
        cli.main([*verb.words, "--help"])
    assert ended.value.code == 0 and verb.text in joined(capsys.readouterr().out)


@each_command
def test_a_command_has_a_description_and_examples(command: Command) -> None:
    assert command.text and command.parser.description == command.text
    assert command.examples
    assert all(example.startswith(f"transfer {command}") for example in command.examples)


@each_command
def test_every_option_says_what_it_does(command: Command) -> None:
    for action in command.parser._actions:
        assert action.help, action
        assert (action.help == argparse.SUPPRESS) == isinstance(action, Former), action


@pytest.mark.parametrize("words", [(), *(verb.words for verb in verbs() if verb.actions)], ids=" ".join)
def test_help_is_printed_where_a_verb_or_an_action_is_missing(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(list(words)) == 2
    assert capsys.readouterr().out.startswith(" ".join(("usage: transfer", *words)))


@pytest.mark.parametrize("verb", [verb for verb in verbs() if verb.actions], ids=str)
def test_a_mistyped_action_names_the_nearest(verb: Command, capsys: pytest.CaptureFixture[str]) -> None:
    for action in verb.actions:
        name = action.words[-1]
        assert status_of([*verb.words, name + "x"]) == 2
        assert f"there is no action '{name}x'. Did you mean {name}" in capsys.readouterr().err


@each_verb
def test_a_mistyped_verb_names_the_nearest(verb: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of([f"{verb}x"]) == 2
    assert f"there is no verb '{verb}x'. Did you mean {verb}" in capsys.readouterr().err


@each_command
def test_a_mistyped_option_names_the_nearest(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [action for action in command.parser._actions if action.help != argparse.SUPPRESS]
    for option in (option for action in shown for option in action.option_strings if option.startswith("--")):
        assert status_of([*command.words, option + "x"]) == 2
        assert f"there is no option '{option}x'. Did you mean {option}" in capsys.readouterr().err


def status_of(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code
