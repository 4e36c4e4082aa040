from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from transfer import cli
from transfer.cli.request import TUNED, overrides, request_of
from transfer.errors import BadOption


def parsed(*arguments: str, verb: str = "eval") -> argparse.Namespace:
    return cli.parser().parse_args([verb, "ckpt.pth", "mini", *arguments])


def test_deviations_have_the_names_that_published_records_hash() -> None:
    options = parsed("--steps", "3", "--images-per-step", "4", "--image-size", "5", "--tune", "last-stage")
    expected = {"iterations": 3, "images_per_step": 4, "image_size": 5, "trunk": "before-conv5"}
    assert overrides(options) == expected


@pytest.mark.parametrize(("option", "protocol"), [("full", "full"), ("last-stage", "before-conv5"), ("none", "frozen")])
def test_what_is_tuned(option: str, protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert TUNED[option] == protocol
    assert overrides(parsed("--tune", option)) == {"trunk": protocol}
    assert not capsys.readouterr().err
    assert overrides(parsed("--trunk", protocol)) == {"trunk": protocol}
    note = f"transfer eval: --trunk {protocol} is now --tune {option}; the next release forgets it.\n"
    assert capsys.readouterr().err == note


@pytest.mark.parametrize(
    ("text", "value"), [("a.b=0.1", 0.1), ("a.b=SGD", "SGD"), ("a.b=(1, 2)", [1, 2]), ("a.b=x=y", "x=y"), ("a.b=", "")]
)
def test_values_of_set(text: str, value: Any) -> None:
    assert overrides(parsed("--set", text)) == {"a.b": value}


@pytest.mark.parametrize(
    ("key", "option"), [("iterations", "--steps"), ("trunk", "--tune"), ("image_size", "--image-size")]
)
def test_set_leaves_to_options_what_they_do(key: str, option: str) -> None:
    with pytest.raises(BadOption, match=f"^--set {key}: use {option}.$"):
        overrides(parsed("--set", f"{key}=3"))


def test_a_request_has_all_that_was_said() -> None:
    options = parsed(
        "--family", "dino", "--tasks", "pose,detection", "--seeds", "0,1", "--work-dir", "w", "--board", "b"
    )
    request = request_of(options)
    assert (request.checkpoint, request.suite, request.choice.family) == ("ckpt.pth", "mini", "dino")
    assert (request.deviations.tasks, request.deviations.seeds) == (("pose", "detection"), (0, 1))
    assert (request.work_dir, request.board) == (Path("w"), Path("b"))
    assert request.deviations.overrides == {}


def request_of_main(monkeypatch: pytest.MonkeyPatch, workflow: str, *arguments: str) -> Any:
    """The request that a verb hands on; nothing is evaluated."""
    asked = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(workflow, asked)
    assert cli.main(arguments) == 130
    return asked.call_args.args[0]


def test_what_only_eval_asks_for_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--subset", "10%", "--snapshots", "2", "--exclude", "a.json", "--exclude", "b.json"]
    request = request_of_main(monkeypatch, "transfer.workflows.evaluate.evaluate", "eval", "c", "mini", *options)
    assert request.deviations.overrides == {"subset": "10%"}
    assert (request.snapshots, request.exclude) == (2, (Path("a.json"), Path("b.json")))


def test_a_curve_has_no_subset_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    request = request_of_main(monkeypatch, "transfer.workflows.curve.trace", "curve", "c", "mini", "--steps", "2")
    assert (request.deviations.overrides, request.snapshots, request.exclude) == ({"iterations": 2}, 0, ())
    capsys.readouterr()
    assert cli.main(["curve", "c", "mini", "--set", "subset='10%'"]) == 1
    assert "Name the parts with --subsets." in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["eval", "curve"])
def test_several_processes_get_the_same_command(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Mock(side_effect=SystemExit)
    monkeypatch.setattr("transfer.launch.processes.launch", launch)
    monkeypatch.setattr("transfer.workflows.evaluate.processes_for", lambda request, asked: asked)
    command = [verb, "c", "mini", "--processes", "2", "--set", "a.b=1"]
    with pytest.raises(SystemExit):
        cli.main(command)
    launch.assert_called_once_with(2, command)
